"""Events as short as a test can say them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    JobAssigned,
    Outcome,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TurnFinished,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
SESSION = "session_1795521600123_0123456789ab"


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def requested(session_id: str = SESSION, **fields: Any) -> SessionRequested:
    values: dict[str, Any] = {
        "time": NOW,
        "user_name": "Ann",
        "user_id": "ann-1",
        "voice_id": "Ashley",
        "opening_line": "Hi Ann!",
        "system_prompt": "Be kind.",
    }
    return SessionRequested(session_id=session_id, **(values | fields))


def queued(session_id: str = SESSION, *, position: int = 1, after: float = 0.1) -> SessionQueued:
    return SessionQueued(session_id=session_id, time=at(after), position=position, deadline_at=at(after + 30))


def assigned(session_id: str = SESSION, *, epoch: int = 1, node: str = "n1", after: float = 0.2) -> JobAssigned:
    return JobAssigned(session_id=session_id, time=at(after), epoch=epoch, node_id=node, served_ms_before=0)


def ready(session_id: str = SESSION, *, epoch: int = 1, pid: int = 4711, after: float = 0.5) -> AgentReady:
    return AgentReady(
        session_id=session_id,
        time=at(after),
        epoch=epoch,
        node_id="n1",
        pid=pid,
        log_file=f"{session_id}.{epoch}.log",
        stage_ms={"join": 120 * epoch},
    )


def started(session_id: str = SESSION, *, epoch: int = 1, after: float = 1.0) -> SessionStarted:
    return SessionStarted(session_id=session_id, time=at(after), epoch=epoch, at=at(after))


def speaking(session_id: str = SESSION, *, epoch: int = 1, after: float = 1.1) -> AgentSpeaking:
    stage_ms = {"join": 120 * epoch, "heard": 180 * epoch}
    return AgentSpeaking(session_id=session_id, time=at(after), epoch=epoch, stage_ms=stage_ms)


def turn(session_id: str = SESSION, *, epoch: int = 1, n: int = 0) -> TurnFinished:
    return TurnFinished(session_id=session_id, time=at(2), epoch=epoch, n=n, user_text="", heard_text="Hi Ann!")


def stopped(session_id: str = SESSION, *, epoch: int = 1, after: float = 61.0) -> AgentStopped:
    return AgentStopped(session_id=session_id, time=at(after), epoch=epoch, cause="ended", served_ms=60_000)


def ended(
    session_id: str = SESSION,
    *,
    outcome: Outcome = Outcome.COMPLETED,
    reason: str = "requested",
    epoch: int = 1,
    billable_ms: int = 61_500,
    after: float = 62.0,
) -> SessionEnded:
    return SessionEnded(
        session_id=session_id, time=at(after), outcome=outcome, reason=reason, epoch=epoch, billable_ms=billable_ms
    )
