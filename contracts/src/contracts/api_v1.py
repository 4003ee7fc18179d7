"""HTTP bodies of the gateway under `/v1`: sessions one can look into, and nodes; camelCase on the wire."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from contracts.events import Outcome

Level = Literal["info", "warning", "error"]


class _View(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class LastTurn(_View):
    """The latest exchange of a session."""

    n: int
    epoch: int
    at: AwareDatetime
    latency_ms: int | None = Field(description="from the end of the caller's speech to audio in the room")
    over_budget: str | None = Field(description="the stage that broke the latency budget; null: within it")


class SessionSummary(_View):
    """One session, without its prompt."""

    session_id: str
    status: str = Field(description="requested, queued, starting, ready, active, ended, rejected")
    user_name: str
    user_id: str
    language: str | None
    voice_id: str
    metadata: dict[str, str]
    node_id: str | None = Field(description="the last epoch's node; only for keys with the scope admin")
    epoch: int = Field(description="number of assignments; 0 before the first")
    created_at: AwareDatetime
    start_time: AwareDatetime | None = Field(description="the first agent was ready")
    conversation_start_time: AwareDatetime | None = Field(description="caller and agent were both in the room")
    ended_at: AwareDatetime | None
    outcome: Outcome | None
    reason: str | None
    start_ms: int | None = Field(description="from the request to the first audio that the caller heard")
    duration_seconds: int | None = Field(description="of a running call: since its start; of an ended one: billed")
    minutes: int | None = Field(description="billed minutes; null before the bill")
    credits: int | None = Field(description="billed credits; null before the bill")
    turns: int = Field(description="exchanges with the caller")
    last_turn: LastTurn | None
    takeovers: int = Field(description="agents that replaced one that had been in the room")
    erased: bool = Field(default=False, description="its words and names were erased")
    trace_id: str | None = Field(description="trace that begins with the POST")


class SessionPage(_View):
    """`GET /v1/sessions`: one page, the latest start first."""

    items: list[SessionSummary]
    next_cursor: str | None = Field(
        default=None, description="`cursor` of the next page, which may be empty; null on the last"
    )


class SessionDetail(SessionSummary):
    """`GET /v1/sessions/{id}`."""

    opening_line: str | None
    system_prompt: str | None
    tools: list[str] = Field(description="names")
    granted_minutes: int | None = Field(description="limit of the billed minutes; null: unlimited")
    celery_task_id: str = Field(description="the job's id")
    agent_pid: int | None = Field(description="only for keys with the scope admin")
    log_file: str | None = Field(description="only for keys with the scope admin")
    queue_position: int | None
    stage_ms: dict[str, int] = Field(description="when each stage of the agent's start ended, ms since assigned")


class Stage(_View):
    """One bar of the waterfall of a start, in ms since the request; stages may overlap."""

    name: str
    label: str
    begin_ms: int
    end_ms: int


class Entry(_View):
    """One step of a session. It holds no word of the conversation."""

    seq: int = Field(description="sequence in the log")
    kind: str = Field(description="the event; new kinds may come")
    at: AwareDatetime
    offset_ms: int = Field(description="ms since the request")
    epoch: int | None = None
    node_id: str | None = Field(default=None, description="only for keys with the scope admin")
    title: str = Field(description="what happened, as one sentence")
    level: Level = "info"
    detail: dict[str, Any] = Field(default_factory=dict[str, Any], description="facts of this kind; new ones may come")


class TurnStage(_View):
    """The share of an answer's latency that one stage took; the stages follow each other."""

    name: str
    label: str
    ms: int


class TurnTiming(_View):
    """The latency of one answer, from the end of the caller's speech to audio in the room."""

    n: int
    epoch: int
    at: AwareDatetime
    offset_ms: int
    interrupted: bool
    total_ms: int | None
    budget_ms: int
    over_budget: str | None = Field(description="the stage that broke the budget; null: within it")
    stages: list[TurnStage]


class Timeline(_View):
    """`GET /v1/sessions/{id}/timeline`: every step from the request to the bill."""

    session_id: str
    status: str
    created_at: AwareDatetime
    trace_id: str | None
    turn_budget_ms: int = Field(description="TURN_BUDGET_MS of this gateway")
    start: list[Stage]
    entries: list[Entry]
    turns: list[TurnTiming]
    outcome: Outcome | None
    reason: str | None


class NodeView(_View):
    """One live node."""

    node_id: str
    region: str | None
    slots: int = Field(description="jobs that it can run at once")
    warm: int = Field(description="idle workers with a built pipeline")
    busy: int
    free: int
    prejoined: int = Field(description="workers that wait in a prejoined room")
    load: float = Field(description="share of the CPU in use, 0..1")
    draining: bool
    drain_since: AwareDatetime | None = Field(
        default=None, description="when it stopped taking calls; null: no drain, or older than this field"
    )
    drain_until: AwareDatetime | None = Field(
        default=None, description="when it hands over the calls that still run; null: no drain"
    )
    version: str | None = Field(default=None, description="of the node's software; null: older than this field")
    started_at: AwareDatetime | None
    sessions: list[str]


class NodePage(_View):
    """`GET /v1/nodes`, by node id."""

    items: list[NodeView]
