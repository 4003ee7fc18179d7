"""Builders of events: a test names only what matters to it. `fields` overrides any field of the event."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    EndRequested,
    Event,
    JobAssigned,
    Outcome,
    ProviderFault,
    ServedTick,
    SessionBilled,
    SessionEnded,
    SessionErased,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    ToolCalled,
    TurnFinished,
)

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
T0 = int(NOW.timestamp() * 1000)
SESSION = "session_1795521600123_0123456789ab"

E = TypeVar("E", bound=Event)


def just_now(event: E) -> E:
    """The event as if it happened now."""
    now = datetime.now(UTC)
    return event.model_copy(update={name: now for name in ("time", "at", "deadline_at") if hasattr(event, name)})


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


def queued(session_id: str = SESSION, *, position: int = 1, after: float = 0.1, **fields: Any) -> SessionQueued:
    deadline_at = at(after + 30)
    return SessionQueued(session_id=session_id, time=at(after), position=position, deadline_at=deadline_at, **fields)


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


def turn(
    epoch: int = 1,
    n: int = 0,
    *,
    session_id: str = SESSION,
    user: str = "",
    heard: str = "",
    after: float = 2,
    **fields: Any,
) -> TurnFinished:
    return TurnFinished(
        session_id=session_id, time=at(after), epoch=epoch, n=n, user_text=user, heard_text=heard, **fields
    )


def tool(
    name: str = "book_table", outcome: str = "", *, n: int = 1, epoch: int = 1, after: float = 9.0, turn: int = 1
) -> ToolCalled:
    """The call's start; with an outcome, its finish."""
    return ToolCalled(
        session_id=SESSION,
        time=at(after),
        epoch=epoch,
        n=n,
        turn=turn,
        name=name,
        key=f"key-{n}",
        arguments_hash="0" * 64,
        status="finished" if outcome else "started",
        outcome=outcome,
        arguments='{"day":"Friday"}',
        answer="Table seven." if outcome else "",
    )


def fault(
    provider: str = "tts",
    kind: str = "silent",
    *,
    n: int = 1,
    epoch: int = 1,
    ms: int | None = None,
    after: float = 12,
    detail: str = "",
) -> ProviderFault:
    return ProviderFault(
        session_id=SESSION, time=at(after), epoch=epoch, n=n, provider=provider, kind=kind, ms=ms, detail=detail
    )


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
    **fields: Any,
) -> SessionEnded:
    values: dict[str, Any] = {"epoch": epoch, "billable_ms": billable_ms} | fields
    return SessionEnded(session_id=session_id, time=at(after), outcome=outcome, reason=reason, **values)


def billed(minutes: int = 2, *, seconds: int = 61, session_id: str = SESSION, after: float = 62.5) -> SessionBilled:
    return SessionBilled(session_id=session_id, time=at(after), seconds=seconds, minutes=minutes, credits=minutes)


def erased(*, session_id: str = SESSION, after: float = 3600) -> SessionErased:
    return SessionErased(session_id=session_id, time=at(after))
