"""HTTP bodies of the gateway; camelCase on the wire."""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from contracts.bounds import at_most, checked_count
from contracts.ids import SessionId
from contracts.languages import Language
from contracts.lines import sayable
from contracts.names import UserName
from contracts.tools import MAX_TOOLS_BYTES, MOST_TOOLS, Tool, checked

DEFAULT_VOICE = "Ashley"
DEFAULT_SYSTEM_PROMPT = "You are a helpful AI voice assistant."

VoiceId = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:-]*$")]
SystemPrompt = Annotated[str, StringConstraints(min_length=1, max_length=32_000)]
MOST_MINUTES: Final = 1_000_000


def _whole(value: Any) -> Any:
    """Accept 5.0 as 5: JSON Schema calls both integers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


OpeningLine = Annotated[
    str,
    StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True, pattern=r"\S"),
    AfterValidator(sayable),
]
CreditLimit = Annotated[int, Field(strict=True, ge=1, le=MOST_MINUTES), BeforeValidator(_whole)]
MetadataKey = Annotated[str, StringConstraints(min_length=1, max_length=64)]
MetadataValue = Annotated[str, StringConstraints(max_length=512)]
MOST_METADATA: Final = 16
MAX_PROMPT_BYTES: Final = 160 * 1024
"""Limit of a system prompt as JSON when the session has tools: both must fit into one packet of the link to the worker.
Only a prompt full of control characters reaches it."""
MAX_START_BYTES: Final = 640 * 1024
"""The longest valid start in the longest JSON form: each character as \\uXXXX, and above U+FFFF as two of them."""
MIN_WAIT_MS: Final = 100
MAX_WAIT_MS: Final = 60_000
MAX_BILLS_PAGE: Final = 100
"""Most sessions on one page of a user's bills."""
IDEMPOTENCY_KEY_PATTERN = r"^[\x21-\x7e]{1,128}$"


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class _Request(_Body):
    # Otherwise pydantic would ignore a misspelt field without an error.
    model_config = ConfigDict(extra="forbid")

    _few_fields = model_validator(mode="before")(checked_count)


class TokenRequest(_Request):
    """`POST /api/token`; clients may send it before the start."""

    session_id: SessionId
    user_id: UserName


class TokenReply(_Body):
    """A LiveKit token for the caller, and the URL of the LiveKit server."""

    token: str
    url: str


class StartRequest(_Request):
    """`POST /orchestrator/session/start`."""

    user_name: UserName
    voice_id: VoiceId = DEFAULT_VOICE
    opening_line: OpeningLine | None = Field(default=None, description="default: a greeting with the user's name")
    system_prompt: SystemPrompt = Field(
        default=DEFAULT_SYSTEM_PROMPT,
        description=f"with tools: at most {MAX_PROMPT_BYTES} bytes as UTF-8 JSON; only control characters need more",
    )
    end_call: bool = Field(
        default=False,
        strict=True,
        description="true: the agent may say goodbye and end the call itself, as `completed` with reason `agent_ended`",
    )
    interruptible: bool | None = Field(
        default=None,
        strict=True,
        description="false: the caller cannot interrupt the opening line, nor the first line after a take-over, and is "
        "answered after it; default: the nodes' FIRST_LINE_INTERRUPTIBLE",
    )
    language: Language | None = Field(
        default=None,
        description="BCP 47 tag of the conversation's language, for speech to text, the model, the voice and all that "
        "the agent says by itself; default: the providers' own choice, and English lines",
    )
    session_id: SessionId | None = Field(default=None, description="an unused id, such as the one in a token request")
    user_id: UserName | None = Field(
        default=None, description="the account that is billed; default: the user name, or its pseudonym"
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(MOST_METADATA)] = Field(
        default_factory=dict, max_length=MOST_METADATA
    )
    credit_limit: CreditLimit | None = Field(
        default=None,
        description="billable minutes after which the call ends as `credit_spent`; an integer from 1 to 1000000. "
        "The bill is never higher",
    )
    max_minutes: CreditLimit | None = Field(
        default=None, description="another name for `creditLimit`; if both are present they must be equal"
    )
    tools: Annotated[tuple[Tool, ...], at_most(MOST_TOOLS)] = Field(
        default=(),
        max_length=MOST_TOOLS,
        description="HTTP functions that the agent may call, with unique names; together at most "
        f"{MAX_TOOLS_BYTES} bytes as ASCII JSON with every field written out",
    )
    wait: Literal["accepted", "joined", "speaking"] = Field(
        default="accepted",
        description="stage to wait for before the reply; `speaking` needs `sessionId`, or Accept: text/event-stream",
    )
    deadline_ms: int | None = Field(
        default=None,
        ge=MIN_WAIT_MS,
        le=MAX_WAIT_MS,
        description="ms until the reply, or until the end of the stream; default: the gateway's deadlines",
    )

    @property
    def credit_limit_minutes(self) -> int | None:
        """`credit_limit`, or `max_minutes`, its other name."""
        return self.max_minutes if self.credit_limit is None else self.credit_limit

    @field_validator("max_minutes")
    @classmethod
    def _one_limit(cls, value: int | None, info: ValidationInfo) -> int | None:
        other = info.data.get("credit_limit")
        if value is not None and other is not None and value != other:
            raise ValueError(f"creditLimit is {other} and maxMinutes is {value}; send one of them, or the same value")
        return value

    @field_validator("tools")
    @classmethod
    def _tools_fit_together(cls, value: tuple[Tool, ...], info: ValidationInfo) -> tuple[Tool, ...]:
        checked(value)
        if (
            value
            and len(json.dumps(info.data.get("system_prompt", ""), ensure_ascii=False).encode()) > MAX_PROMPT_BYTES
        ):
            raise ValueError(f"with tools the system prompt may have at most {MAX_PROMPT_BYTES} bytes as JSON")
        return value


class StartReply(_Body):
    """The gateway accepted the session; the caller can join the room with `token` at `server_url`."""

    success: Literal[True] = True
    session_id: SessionId
    token: str
    server_url: str
    room_name: str
    message: str = "Session created. Voice agent is being spawned."
    stage_ms: dict[str, int] | None = Field(default=None, description="with `wait`: duration of each stage, ms")


class StartProgress(_Body):
    """The start reached a stage."""

    session_id: SessionId
    stage: Literal["joined", "speaking"]
    stage_ms: dict[str, int] = Field(description="duration of each part of the start, ms")


class EndRequest(_Request):
    """`POST /orchestrator/session/end`."""

    session_id: SessionId


class EndDetails(BaseModel):
    """Details of an end, with the names that existing clients read: durations in camelCase, others in snake_case.

    Optional: a reply that is repeated for an `Idempotency-Key` may be of an earlier version.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    session_id: SessionId
    celery_task_revoked: bool = Field(description="the session's job has ended and will not run again")
    process_killed: bool = Field(description="every worker process of the session has exited")
    redis_cleaned: bool = Field(description="the read model in Redis shows the end")
    duration_seconds: int = Field(alias="durationSeconds", ge=0, description="the bill's seconds")
    duration_minutes: int = Field(alias="durationMinutes", ge=0, description="the bill's begun minutes")
    outcome: str | None = Field(default=None, description="completed, failed, rejected or no_show")
    reason: str | None = Field(default=None, description="why it ended")
    ended_at: AwareDatetime | None = Field(default=None, description="when it ended, which may be before this request")
    errors: list[str] = Field(default_factory=list)


class EndReply(_Body):
    """The session has ended. Ending it again gives the same reply."""

    success: Literal[True] = True
    message: str
    details: EndDetails


class SessionView(_Body):
    """`GET /sessions/{id}`, from the read model."""

    session_id: SessionId
    status: str = Field(description="requested, queued, starting, ready, active, ended, rejected")
    user_name: str
    user_id: str
    voice_id: str
    opening_line: str
    system_prompt: str
    agent_pid: int | None = None
    created_at: AwareDatetime
    start_time: AwareDatetime | None = Field(default=None, description="the agent was ready")
    conversation_start_time: AwareDatetime | None = None
    conversation_duration: int | None = Field(default=None, description="billed seconds")
    conversation_duration_minutes: int | None = Field(default=None, description="billed minutes")
    granted_minutes: int | None = Field(default=None, description="limit of the billed minutes; null: unlimited")
    celery_task_id: str | None = Field(default=None, description="the job's id")
    log_file: str | None = None
    node_id: str | None = None
    epoch: int = 0
    queue_position: int | None = None
    outcome: str | None = None
    reason: str | None = None
    stage_ms: dict[str, int] = Field(default_factory=dict)
    erased: bool = Field(default=False, description="its words and names were erased")


class SessionList(_Body):
    """`GET /sessions`: one page of sessions, the latest start first."""

    items: list[SessionView]
    next_cursor: str | None = Field(default=None, description="`cursor` of the next page; null on the last")


class PoolStats(_Body):
    """The workers of one node."""

    node_id: str
    warm: int
    busy: int
    free: int
    slots: int
    draining: bool
    drain_since: AwareDatetime | None = Field(
        default=None, description="when it stopped taking calls; null: no drain, or older than this field"
    )
    load: float
    processes: int
    prejoined: int = Field(default=0, description="workers that wait in a prejoined room")


class DrainRequest(_Request):
    """`POST /nodes/{nodeId}/drain`."""

    limit_s: float = Field(default=600, gt=0, le=86_400, description="seconds that the node's calls may continue")


class DrainStarted(_Body):
    """The node accepts no new job and still runs `jobs` calls. It stops after they ended or were taken over."""

    node_id: str
    jobs: int


class Dependency(_Body):
    """The state of one server that the gateway depends on."""

    ok: bool
    detail: str = ""
    latency_ms: float | None = None


class StatsReply(_Body):
    """`GET /stats`."""

    active: int
    starting: int
    queued: int
    max_bots: int
    nodes: int
    pool: list[PoolStats]
    processes: int
    redis: Dependency
    nats: Dependency
    livekit: Dependency


class HealthReply(_Body):
    """`GET /health`."""

    status: Literal["ok"] = "ok"
    service: str
    version: str


class LedgerEntryView(_Body):
    """One line of the ledger; entries are added, never changed."""

    entry_id: str
    kind: str
    credits: int
    seconds: int
    minutes: int
    at: AwareDatetime
    note: str = ""
    cause_seq: int | None = Field(default=None, description="stream sequence of the event that caused the entry")


class EpochBill(_Body):
    """One epoch's share of the bill."""

    epoch: int
    node_id: str | None = None
    served_ms: int
    fault_ms: int = Field(default=0, description="part of served_ms with a provider's fault; not billed")
    billable_ms: int
    span_ms: int | None = Field(default=None, description="the cap, from `assigned` to the successor's `agent_ready`")
    sequences: list[int] = Field(
        default_factory=list[int], description="stream sequences of the events behind these figures"
    )


class Evidence(_Body):
    """The part of the log, and the price, that a settlement was computed from."""

    ended_seq: int = Field(description="stream sequence of `ended`; later events lead to adjustments")
    records: int = Field(description="number of metered events")
    log_sha256: str = Field(description="hash of their sequences, timestamps and contents")
    credits_per_minute: int


class SessionBill(_Body):
    """`GET /billing/sessions/{id}`: the settlement and its evidence."""

    session_id: SessionId
    user_id: str
    outcome: str
    reason: str
    billable_ms: int
    seconds: int
    minutes: int
    credits: int
    granted_minutes: int | None = Field(
        default=None,
        description="the session's limit, which caps `billableMs`; null: unlimited",
    )
    settled_at: AwareDatetime
    epochs: list[EpochBill]
    entries: list[LedgerEntryView]
    difference_ms: int = Field(default=0, description="billing's result minus `ended.billable_ms`")
    evidence: Evidence | None = None


class UserBill(_Body):
    """`GET /billing/users/{user}`: one page of a user's settlements, newest first, and the sums over all pages."""

    user_id: str
    sessions: int
    seconds: int
    minutes: int
    credits: int
    items: list[SessionBill]
    next_cursor: str | None = None
