"""Session logs as billing reads them."""

from collections.abc import Sequence

from billing.domain.usage import Recorded
from contracts.events import Event
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick

USER = "ann-1"
START_MS = 1_764_000_000_000


def log_of(*events: Event, first_seq: int = 10, step_ms: int = 100_000) -> tuple[Recorded, ...]:
    """The events as a stream keeps them: one after the other, one every `step_ms`."""
    return tuple(
        Recorded(event=event, stored_ms=START_MS + step_ms * n, seq=first_seq + n) for n, event in enumerate(events)
    )


def call(served_ms: int, *late: Event, step_ms: int = 100_000) -> tuple[Recorded, ...]:
    """The log of an ordinary call that was served for so long."""
    ticks: Sequence[Event] = [tick(at) for at in range(5_000, served_ms, 5_000)]
    facts = (requested(), assigned(), ready(), started(), *ticks, stopped(served_ms), ended(served_ms), *late)
    return log_of(*facts, step_ms=step_ms)


def conversation(served_ms: int, session: str = SESSION, user: str = "ada") -> list[Event]:
    """The events of a call with one tick."""
    return [
        requested(session, user),
        assigned(session_id=session),
        ready(session_id=session),
        started(session_id=session),
        tick(min(2_000, served_ms), session_id=session),
        stopped(served_ms, session_id=session),
        ended(served_ms, session_id=session),
    ]
