"""A session's state in the read model, folded from its log.

The state keeps one event of each kind, chosen by a total order. So any order and any repetition of a session's
events give the same state, and a rebuild from the log gives the former one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import reduce
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from contracts import metering
from contracts.api import SessionView
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    Event,
    JobAssigned,
    Outcome,
    SessionBilled,
    SessionEnded,
    SessionErased,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TurnFinished,
)
from contracts.words import without_words
from gateway.domain.accounts import shown_user_id
from gateway.domain.logged import LoggedEvent

_E = TypeVar("_E", bound=Event)


class Status(StrEnum):
    REQUESTED = "requested"
    QUEUED = "queued"
    STARTING = "starting"
    READY = "ready"
    ACTIVE = "active"
    ENDED = "ended"
    REJECTED = "rejected"


STARTING = frozenset({Status.REQUESTED, Status.QUEUED, Status.STARTING})
READY = frozenset({Status.READY, Status.ACTIVE})


FOLDED: tuple[type[Event], ...] = (
    SessionRequested,
    SessionQueued,
    JobAssigned,
    AgentReady,
    AgentSpeaking,
    SessionStarted,
    TurnFinished,
    AgentStopped,
    SessionEnded,
    SessionBilled,
    SessionErased,
)
"""The events that change the read model."""


class SessionState(BaseModel):
    """The events of one session from which its keys and its summary are made.

    Attributes:
        trace_id: The trace of the request; empty: unknown.
        tools: Names of the start's tools.
        exchanges: Epoch -> the number of its last turn.
        last_turn: The latest exchange, without its words.
    """

    model_config = ConfigDict(frozen=True)

    session_id: str
    trace_id: str = ""
    requested: SessionRequested | None = None
    tools: tuple[str, ...] = ()
    queued: SessionQueued | None = None
    assigned: JobAssigned | None = None
    first_ready: AgentReady | None = None
    ready: AgentReady | None = None
    first_speaking: AgentSpeaking | None = None
    speaking: AgentSpeaking | None = None
    started: SessionStarted | None = None
    exchanges: dict[int, int] = Field(default_factory=dict[int, int])
    last_turn: TurnFinished | None = None
    stopped: AgentStopped | None = None
    ended: SessionEnded | None = None
    billed: SessionBilled | None = None
    erased: SessionErased | None = None

    @property
    def status(self) -> Status:
        """The furthest status that the events prove; a call stays active during a take-over."""
        if self.ended:
            return Status.REJECTED if self.ended.outcome is Outcome.REJECTED else Status.ENDED
        if self.started:
            return Status.ACTIVE
        if self.ready and self.ready.epoch >= self.epoch:
            return Status.READY
        if self.assigned:
            return Status.STARTING
        return Status.QUEUED if self.queued else Status.REQUESTED

    @property
    def epoch(self) -> int:
        """The last assigned epoch; 0 before the first."""
        return self.assigned.epoch if self.assigned else 0

    @property
    def turns(self) -> int:
        """Exchanges with the caller, over all epochs; the opening and bridge lines do not count."""
        return sum(self.exchanges.values())

    @property
    def granted_minutes(self) -> int | None:
        """The session's limit: the last grant, or the request's limit before any grant."""
        if self.assigned is not None and self.assigned.granted_minutes is not None:
            return self.assigned.granted_minutes
        return None if self.requested is None else self.requested.credit_limit_minutes

    @property
    def live_pid(self) -> int | None:
        """The worker's process id; None when the log shows that it stopped."""
        if self.ready is None or self.ended or (self.stopped and self.stopped.epoch >= self.ready.epoch):
            return None
        return self.ready.pid


@dataclass(frozen=True)
class SessionKeys:
    """One session's keys in Redis.

    Attributes:
        fields: The hash `session:{id}`.
        in_ready: Member of the set `session:ready`.
        in_starting: Member of the set `session:starting`.
        pid: `agent:{id}:pid`; None: no such key.
        ended_at: The keys get a TTL from this time; None: no TTL.
    """

    session_id: str
    fields: dict[str, str]
    in_ready: bool
    in_starting: bool
    pid: str | None
    created_at: datetime
    ended_at: datetime | None


def fold(state: SessionState | None, event: Event, trace_id: str = "") -> SessionState:
    """Add one event, new or repeated, to its session's state.

    Args:
        trace_id: Of a `requested`: the trace of its POST.
    """
    state = state or SessionState(session_id=event.session_id)
    update: dict[str, object] = {}
    match event:
        case SessionRequested():
            if state.requested is None or event.time <= state.requested.time:
                # Only the names of its tools, which may be nested too deep to be read back.
                update["requested"] = event.model_copy(update={"tools": ()})
                update["tools"] = tuple(tool.name for tool in event.tools)
                update["trace_id"] = trace_id or state.trace_id
        case SessionQueued():
            update["queued"] = _greatest(state.queued, event, lambda e: (e.time, e.position))
        case JobAssigned():
            update["assigned"] = _greatest(state.assigned, event, lambda e: e.epoch)
        case AgentReady():
            update["first_ready"] = _least(state.first_ready, event, lambda e: e.epoch)
            update["ready"] = _greatest(state.ready, event, lambda e: e.epoch)
        case AgentSpeaking():
            update["first_speaking"] = _least(state.first_speaking, event, lambda e: e.epoch)
            update["speaking"] = _greatest(state.speaking, event, lambda e: e.epoch)
        case SessionStarted():
            update["started"] = _least(state.started, event, lambda e: e.at)
        case TurnFinished() if event.n > 0:  # 0 is the opening or bridge line
            n = max(event.n, state.exchanges.get(event.epoch, 0))
            update["exchanges"] = {**state.exchanges, event.epoch: n}
            update["last_turn"] = _greatest(state.last_turn, without_words(event), lambda e: (e.epoch, e.n))
        case AgentStopped():
            update["stopped"] = _greatest(state.stopped, event, lambda e: e.epoch)
        case SessionEnded():
            update["ended"] = _least(state.ended, event, _by_time)
        case SessionBilled():
            update["billed"] = _least(state.billed, event, _by_time)
        case SessionErased():
            update["erased"] = _least(state.erased, event, _by_time)
        case _:
            return state
    state = state.model_copy(update=update)
    if state.erased is None or state.requested is None:
        return state
    return state.model_copy(update={"requested": without_words(state.requested), "tools": ()})


def fold_all(events: Iterable[Event], state: SessionState | None = None) -> SessionState | None:
    """Fold several events; None without an event and a state."""
    return reduce(fold, events, state)


def fold_records(records: Iterable[LoggedEvent]) -> SessionState | None:
    """As `fold_all`, with the trace of the request."""
    state = None
    for record in records:
        if record.event is not None:
            state = fold(state, record.event, record.trace_id)
    return state


def session_keys(state: SessionState) -> SessionKeys | None:
    """The session's keys; None while its request is unknown, so that Redis never shows an incomplete session."""
    requested, ended = state.requested, state.ended
    if requested is None:
        return None
    fields = {
        "userName": requested.user_name,
        "userId": shown_user_id(requested),
        "voiceId": requested.voice_id,
        "openingLine": requested.opening_line,
        "systemPrompt": requested.system_prompt,
        "status": str(state.status),
        "createdAt": unix(requested.time),
        "celeryTaskId": job_id(requested),
    }
    if state.first_ready:
        fields["startTime"] = unix(state.first_ready.time)
    if state.ready:
        fields |= {"agentPid": str(state.ready.pid), "logFile": state.ready.log_file}
    if state.started:
        fields["conversationStartTime"] = unix(state.started.at)
    if ended:
        fields["conversationDuration"] = str(metering.seconds(ended.billable_ms))
        fields["conversationDurationMinutes"] = str(metering.minutes(ended.billable_ms))
    pid = state.live_pid
    return SessionKeys(
        session_id=state.session_id,
        fields=fields,
        in_ready=state.status in READY,
        in_starting=state.status in STARTING,
        pid=None if pid is None else str(pid),
        created_at=requested.time,
        ended_at=ended.time if ended else None,
    )


def user_config(requested: SessionRequested) -> dict[str, str]:
    """The hash `user:{name}:config`: the values of the user's last request."""
    return {
        "voiceId": requested.voice_id,
        "openingLine": requested.opening_line,
        "systemPrompt": requested.system_prompt,
        "updatedAt": unix(requested.time),
    }


def session_view(state: SessionState) -> SessionView | None:
    """The answer of `GET /sessions/{id}`; None while the session's request is unknown."""
    requested, ended, ready = state.requested, state.ended, state.ready
    if requested is None:
        return None
    status = state.status
    return SessionView(
        session_id=state.session_id,
        status=status,
        user_name=requested.user_name,
        user_id=shown_user_id(requested),
        voice_id=requested.voice_id,
        opening_line=requested.opening_line,
        system_prompt=requested.system_prompt,
        agent_pid=ready.pid if ready else None,
        created_at=requested.time,
        start_time=state.first_ready.time if state.first_ready else None,
        conversation_start_time=state.started.at if state.started else None,
        conversation_duration=metering.seconds(ended.billable_ms) if ended else None,
        conversation_duration_minutes=metering.minutes(ended.billable_ms) if ended else None,
        granted_minutes=state.granted_minutes,
        celery_task_id=job_id(requested),
        log_file=ready.log_file if ready else None,
        node_id=state.assigned.node_id if state.assigned else None,
        epoch=state.epoch,
        queue_position=state.queued.position if state.queued and status is Status.QUEUED else None,
        outcome=ended.outcome if ended else None,
        reason=ended.reason if ended else None,
        stage_ms=stage_ms(state),
        erased=state.erased is not None,
    )


def stage_ms(state: SessionState) -> dict[str, int]:
    """The stage times of the current agent's start, up to its first sound if it was heard."""
    ready, speaking = state.ready, state.speaking
    if ready is None:
        return {}
    return dict(speaking.stage_ms if speaking is not None and speaking.epoch == ready.epoch else ready.stage_ms)


def job_id(requested: SessionRequested) -> str:
    """The job's id: the same for all epochs."""
    return str(requested.id)


def unix(at: datetime) -> str:
    """Whole Unix seconds, as programs that read Redis expect."""
    return str(int(at.timestamp()))


def _by_time(event: Event) -> datetime:
    return event.time


def _least(old: _E | None, new: _E, key: Callable[[_E], Any]) -> _E:
    return new if old is None or key(new) < key(old) else old


def _greatest(old: _E | None, new: _E, key: Callable[[_E], Any]) -> _E:
    return new if old is None or key(new) > key(old) else old
