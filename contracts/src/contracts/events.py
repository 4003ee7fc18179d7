"""The session's events, which form the log. Redis and SQL are built from it.

A new field needs a default. Every other change needs a new class on a new `v2` subject.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, computed_field

from contracts import ids, subjects
from contracts.ids import NodeId, SessionId
from contracts.tools import RecordedTool

Ms = Annotated[int, Field(ge=0)]
Epoch = Annotated[int, Field(ge=1)]
StageMs = dict[str, Ms]
Text = Annotated[str, StringConstraints(max_length=100_000)]
Minutes = Annotated[int, Field(ge=0)]
Sealed = Annotated[
    str,
    Field(description="the event's words, encrypted with the session's key; the fields with words are then empty"),
]
FaultMs = Annotated[
    int,
    Field(ge=0, description="part of served_ms in which a provider's fault kept the agent deaf or mute; not billed"),
]


class Event(BaseModel):
    """A fact about one session."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: ClassVar[str]

    session_id: SessionId
    time: AwareDatetime

    @property
    def _epoch(self) -> int:
        return 0

    @property
    def _n(self) -> int:
        """Distinguishes events of the same kind and epoch."""
        return 0

    @computed_field
    @property
    def id(self) -> UUID:
        """Deterministic, so that every publisher and every retry give the same fact the same id."""
        return ids.event_id(self.session_id, self.event, self._epoch, self._n)

    @property
    def subject(self) -> str:
        return subjects.session_event(self.event, self.session_id)


class _EpochEvent(Event):
    epoch: Epoch

    @property
    def _epoch(self) -> int:
        return self.epoch


class SessionRequested(Event):
    """The gateway accepted a start."""

    event: ClassVar[str] = "requested"

    user_name: str
    user_id: str
    user_id_derived: bool = Field(default=False, description="`user_id` is a pseudonym of `user_name`")
    voice_id: str
    opening_line: str
    system_prompt: str
    end_call: bool = Field(default=False, description="the agent may end the call")
    interruptible: bool | None = Field(
        default=None, description="whether the caller may interrupt an agent's first line; None: as the node is set"
    )
    language: str | None = Field(default=None, description="BCP 47 tag of the call's language; None: unnamed")
    metadata: dict[str, str] = Field(default_factory=dict)
    credit_limit_minutes: Minutes | None = Field(default=None, description="limit of billable time; None: unlimited")
    tools: tuple[RecordedTool, ...] = ()
    sealed: Sealed = ""


class Considered(BaseModel):
    """One node that the scheduler looked at for a session, and what it decided about it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    node_id: str
    verdict: str = Field(description="chosen, passed (it could have taken the job) or refused")
    why: str = Field(default="", description="in words: full, draining, load 0.93 over 0.7, ...")


MOST_CONSIDERED: Final = 8
"""Most nodes in `considered`: the chosen one and the first others."""
ConsideredNodes = tuple[Considered, ...]


class SessionQueued(Event):
    """The session waits for a slot or a node until `deadline_at`."""

    event: ClassVar[str] = "queued"

    position: int = Field(ge=1)
    deadline_at: AwareDatetime
    reason: str = Field(default="", description="an `EndReason`: why it waits; empty: an older scheduler")
    considered: ConsideredNodes = ()


class JobAssigned(_EpochEvent):
    """The scheduler gave the job to a node. The epoch of a session's last `assigned` is the current one."""

    event: ClassVar[str] = "assigned"

    node_id: NodeId
    served_ms_before: Ms = Field(description="served time of all earlier epochs")
    billable_ms_before: Ms | None = Field(
        default=None,
        description="the billable part of served_ms_before; None (from an older scheduler): use served_ms_before",
    )
    granted_minutes: Minutes | None = Field(default=None, description="limit of the session's billable minutes")
    age_ms: Ms = Field(
        default=0,
        description="age of the epoch when this event was stored; above 0 only when the log had lost the epoch's first"
        " events and they were written again",
    )
    considered: ConsideredNodes = ()


class AgentReady(_EpochEvent):
    """The agent joined the room."""

    event: ClassVar[str] = "agent_ready"

    node_id: NodeId
    pid: int = Field(ge=1)
    log_file: str
    stage_ms: StageMs = Field(default_factory=dict)


class SessionStarted(_EpochEvent):
    """Caller and agent were both in the room for the first time; once per session."""

    event: ClassVar[str] = "started"

    at: AwareDatetime = Field(description="conversationStartTime")

    @property
    def _epoch(self) -> int:
        return 0  # the same id in every epoch: once per session


class AgentSpeaking(_EpochEvent):
    """The caller hears the agent: the first audio of an epoch was sent while the caller was subscribed."""

    event: ClassVar[str] = "speaking"

    stage_ms: StageMs = Field(
        default_factory=dict, description="every stage of the start, ms since `assigned`; `heard` is this event"
    )


class TurnFinished(_EpochEvent):
    """One exchange ended. From all turns together, another node can continue the call."""

    event: ClassVar[str] = "turn"

    n: int = Field(ge=0, description="ordinal within the epoch; 0 is the opening or bridge line")
    user_text: Text
    heard_text: Text = Field(description="the part of the answer that the caller heard")
    interrupted: bool = False
    stage_ms: StageMs = Field(
        default_factory=dict,
        description="ms of each stage that is known. endpointing, stt, llm, sentence, tts and transport follow each "
        "other and add up to total, from the end of the caller's speech to the first audio in the room; turn is the "
        "part of endpointing behind the transcript. Without endpointing (an older agent-runner) stt begins at the end "
        "of speech, turn follows it, and tts begins at the first text",
    )
    budget_ms: Ms = Field(default=0, description="TURN_BUDGET_MS when the turn ended; 0: unknown")
    over: str = Field(default="", description="the stage that broke the budget; empty: none did")
    said: str = Field(
        default="",
        description="what the caller heard: answer (the model's words), nothing, or a line that the agent says by "
        "itself: the line's name in SPOKEN_LINES, such as sorry or idle_prompt, or line; empty: an older agent-runner",
    )
    summary: Text = Field(default="", description="of older turns, if the agent's context has one instead of them")
    summary_keeps: int = Field(default=0, ge=0, description="turns of the caller up to this one that it leaves out")
    sealed: Sealed = ""

    @property
    def _n(self) -> int:
        return self.n


class ToolCalled(_EpochEvent):
    """The agent is about to call a tool (`started`, published before the request), or knows the outcome (`finished`).

    A start without a finish may have taken effect: a successor repeats it only under the same key.
    """

    event: ClassVar[str] = "tool"

    n: int = Field(ge=1, description="ordinal of the call within the epoch")
    turn: int = Field(ge=0, description="`n` of the turn in which it was called")
    name: str
    key: str = Field(description="its Idempotency-Key")
    arguments_hash: str = Field(description="SHA-256 of `arguments`, in hexadecimal digits")
    status: str = Field(description="started or finished")
    outcome: str = Field(
        default="", description="of a finished call: done, failed, or unknown (no answer: it may have taken effect)"
    )
    arguments: Text = Field(default="", description="canonical JSON")
    answer: Text = Field(default="", description="the beginning of the answer, or the error in words")
    error: str = Field(
        default="",
        max_length=300,
        description="why a call failed or has no answer: timeout, too_long, a status, the class of the connection's "
        "error, or in words why the node did not call the tool. It has no host, URL, argument or answer; empty "
        "otherwise, and from an older agent-runner",
    )
    sealed: Sealed = ""

    @property
    def _n(self) -> int:
        return 2 * self.n + (self.status == "finished")


class ProviderFault(_EpochEvent):
    """A provider, or the caller's network, failed in a call. At most 70 are reported for each epoch."""

    event: ClassVar[str] = "fault"

    n: int = Field(ge=1, description="ordinal within the epoch")
    provider: str = Field(description="stt, llm, tts or tool; or network: the caller's, whose gaps are billed")
    kind: str = Field(
        description="silent: it kept the agent deaf or mute; unanswered, broke_off: an answer failed before or after "
        "its first words, the agent apologised, and the call went on; unusable: it fails for the rest of "
        "the call. Of the network, lost: no packet came, and the agent waited until one came; left: until the caller "
        "was out of the room; given_up: it waits no longer for a caller who is still in the room"
    )
    detail: str = Field(
        default="",
        max_length=300,
        description="the error's name, and a language model's status, name and host, without words of the conversation",
    )
    ms: Ms | None = Field(default=None, description="how long it lasted; None: it has not ended")
    again_ms: Ms = Field(
        default=0, description="of the network: how much the agent said again, which the caller missed"
    )

    @property
    def _n(self) -> int:
        return self.n


class ServedTick(_EpochEvent):
    """An epoch's served time so far; every 5 s."""

    event: ClassVar[str] = "tick"

    served_ms: Ms
    fault_ms: FaultMs = 0

    @property
    def _n(self) -> int:
        return self.served_ms


class AgentStopped(_EpochEvent):
    """A node reports that an epoch's worker is gone. The scheduler decides whether the session ends."""

    event: ClassVar[str] = "agent_stopped"

    cause: str = Field(description="a `Cause`; `provider_failed` has the provider: `provider_failed:stt`")
    served_ms: Ms
    fault_ms: FaultMs = 0


class TimeLost(_EpochEvent):
    """NATS lost a running call's log: what the epochs before this one served cannot be proved, and is not billed."""

    event: ClassVar[str] = "time_lost"

    billable_ms: Ms = Field(description="what they had served, as the scheduler had told the node")


class EndRequested(Event):
    """A service asked for the session's end."""

    event: ClassVar[str] = "end_requested"

    by: str
    reason: str


class Outcome(StrEnum):
    """How a session ended."""

    COMPLETED = "completed"
    REJECTED = "rejected"
    NO_SHOW = "no_show"
    FAILED = "failed"


class SessionEnded(Event):
    """The session has ended; published once per session, only by the scheduler."""

    event: ClassVar[str] = "ended"

    outcome: Outcome
    reason: str = Field(description="an `EndReason`, or the text of an `end_requested`")
    epoch: int = Field(ge=0, description="the last epoch; 0 when the job was never assigned")
    billable_ms: Ms
    considered: ConsideredNodes = Field(default=(), description="of a rejection")


class SessionBilled(Event):
    """Billing settled the session."""

    event: ClassVar[str] = "billed"

    seconds: int = Field(ge=0)
    minutes: int = Field(ge=0)
    credits: int = Field(ge=0)
    credits_per_minute: int | None = Field(default=None, ge=0, description="its price; None: an older billing")
    rule: int | None = Field(default=None, ge=1, description="the metering rule's number; None: an older billing")


class SessionErased(Event):
    """The session's words and names are erased; once per session, after `billed` or long after `ended`."""

    event: ClassVar[str] = "erased"

    account_is_name: bool = Field(default=False, description="the account that pays, a fact that stays, is the name")


EVENTS: tuple[type[Event], ...] = (
    SessionRequested,
    SessionQueued,
    JobAssigned,
    AgentReady,
    SessionStarted,
    AgentSpeaking,
    TurnFinished,
    ToolCalled,
    ProviderFault,
    ServedTick,
    AgentStopped,
    TimeLost,
    EndRequested,
    SessionEnded,
    SessionBilled,
    SessionErased,
)
