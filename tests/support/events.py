"""Builders of events: a test names only what matters to it. `fields` overrides any field of the event."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    EndRequested,
    JobAssigned,
    Outcome,
    ServedTick,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TurnFinished,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
T0 = int(NOW.timestamp() * 1000)
SESSION = "session_1795521600123_0123456789ab"


def at(seconds: float) -> datetime:
    """So many seconds after the request."""
    return NOW + timedelta(seconds=seconds)


def requested(session_id: str = SESSION, user: str | None = None, **fields: Any) -> SessionRequested:
    """The user is Ann with the id ann-1; `user` is both, name and id."""
    values: dict[str, Any] = {
        "time": NOW,
        "user_name": user or "Ann",
        "user_id": user or "ann-1",
        "voice_id": "Ashley",
        "opening_line": "Hi Ann!",
        "system_prompt": "Be kind.",
    }
    return SessionRequested(session_id=session_id, **(values | fields))


def queued(session_id: str = SESSION, *, position: int = 1, after: float = 0.1) -> SessionQueued:
    return SessionQueued(session_id=session_id, time=at(after), position=position, deadline_at=at(after + 30))


def assigned(
    epoch: int = 1, node_id: str = "n1", *, session_id: str = SESSION, after: float = 0.2, **fields: Any
) -> JobAssigned:
    values: dict[str, Any] = {"served_ms_before": 0} | fields
    return JobAssigned(session_id=session_id, time=at(after), epoch=epoch, node_id=node_id, **values)


def ready(
    epoch: int = 1, node_id: str = "n1", *, session_id: str = SESSION, pid: int = 4711, after: float = 0.5
) -> AgentReady:
    return AgentReady(
        session_id=session_id,
        time=at(after),
        epoch=epoch,
        node_id=node_id,
        pid=pid,
        log_file=f"{session_id}.{epoch}.log",
        stage_ms={"join": 120 * epoch},
    )


def started(epoch: int = 1, *, session_id: str = SESSION, after: float = 1.0) -> SessionStarted:
    return SessionStarted(session_id=session_id, time=at(after), epoch=epoch, at=at(after))


def speaking(epoch: int = 1, *, session_id: str = SESSION, after: float = 1.1) -> AgentSpeaking:
    stage_ms = {"join": 120 * epoch, "heard": 180 * epoch}
    return AgentSpeaking(session_id=session_id, time=at(after), epoch=epoch, stage_ms=stage_ms)


def turn(epoch: int = 1, n: int = 0, *, session_id: str = SESSION, user: str = "", heard: str = "") -> TurnFinished:
    return TurnFinished(session_id=session_id, time=at(2), epoch=epoch, n=n, user_text=user, heard_text=heard)


def tick(served_ms: int = 0, epoch: int = 1, *, session_id: str = SESSION, fault_ms: int = 0) -> ServedTick:
    return ServedTick(session_id=session_id, time=at(5), epoch=epoch, served_ms=served_ms, fault_ms=fault_ms)


def stopped(
    served_ms: int = 0,
    epoch: int = 1,
    cause: str = "crashed",
    *,
    session_id: str = SESSION,
    after: float = 61.0,
    fault_ms: int = 0,
) -> AgentStopped:
    return AgentStopped(
        session_id=session_id, time=at(after), epoch=epoch, cause=cause, served_ms=served_ms, fault_ms=fault_ms
    )


def end_requested(reason: str = "rest", *, session_id: str = SESSION, after: float = 60.0) -> EndRequested:
    return EndRequested(session_id=session_id, time=at(after), by="gateway", reason=reason)


def ended(
    billable_ms: int = 61_500,
    epoch: int = 1,
    *,
    session_id: str = SESSION,
    outcome: Outcome = Outcome.COMPLETED,
    reason: str = "requested",
    after: float = 62.0,
) -> SessionEnded:
    return SessionEnded(
        session_id=session_id, time=at(after), outcome=outcome, reason=reason, epoch=epoch, billable_ms=billable_ms
    )
