"""Builders of session logs: each shows only what matters."""

from collections.abc import Sequence
from datetime import UTC, datetime

from billing.domain.usage import LoggedEvent
from contracts.events import (
    AgentReady,
    AgentStopped,
    Event,
    JobAssigned,
    Outcome,
    ServedTick,
    SessionEnded,
    SessionRequested,
    SessionStarted,
)

SESSION = "session_1764000000000_0123456789ab"
USER = "ada"
START_MS = 1_764_000_000_000
NOW = datetime.fromtimestamp(START_MS / 1000, UTC)


def requested(session: str = SESSION, user: str = USER, limit: int | None = None) -> SessionRequested:
    return SessionRequested(
        session_id=session,
        time=NOW,
        user_name=user,
        user_id=user,
        voice_id="Ashley",
        opening_line="Hello.",
        system_prompt="Be kind.",
        credit_limit_minutes=limit,
    )


def assigned(
    epoch: int = 1, session: str = SESSION, node: str = "n1", granted_minutes: int | None = None, age_ms: int = 0
) -> JobAssigned:
    return JobAssigned(
        session_id=session,
        time=NOW,
        epoch=epoch,
        node_id=node,
        served_ms_before=0,
        granted_minutes=granted_minutes,
        age_ms=age_ms,
    )


def ready(epoch: int = 1, session: str = SESSION) -> AgentReady:
    return AgentReady(session_id=session, time=NOW, epoch=epoch, node_id="n1", pid=7, log_file="agent.log")


def started(epoch: int = 1, session: str = SESSION) -> SessionStarted:
    return SessionStarted(session_id=session, time=NOW, epoch=epoch, at=NOW)


def tick(served_ms: int, epoch: int = 1, session: str = SESSION, fault_ms: int = 0) -> ServedTick:
    return ServedTick(session_id=session, time=NOW, epoch=epoch, served_ms=served_ms, fault_ms=fault_ms)


def stopped(served_ms: int, epoch: int = 1, session: str = SESSION, fault_ms: int = 0) -> AgentStopped:
    return AgentStopped(session_id=session, time=NOW, epoch=epoch, cause="end", served_ms=served_ms, fault_ms=fault_ms)


def ended(billable_ms: int = 0, epoch: int = 1, session: str = SESSION) -> SessionEnded:
    return SessionEnded(
        session_id=session, time=NOW, outcome=Outcome.COMPLETED, reason="asked", epoch=epoch, billable_ms=billable_ms
    )


def log_of(*events: Event, first_seq: int = 10, step_ms: int = 100_000) -> tuple[LoggedEvent, ...]:
    """The events as a stream keeps them: one after the other, one every `step_ms`."""
    return tuple(
        LoggedEvent(event=event, stored_ms=START_MS + step_ms * n, seq=first_seq + n) for n, event in enumerate(events)
    )


def call(served_ms: int, *late: Event, step_ms: int = 100_000) -> tuple[LoggedEvent, ...]:
    """The log of an ordinary call that was served for so long."""
    ticks: Sequence[Event] = [tick(at) for at in range(5_000, served_ms, 5_000)]
    facts = (requested(), assigned(), ready(), started(), *ticks, stopped(served_ms), ended(served_ms), *late)
    return log_of(*facts, step_ms=step_ms)
