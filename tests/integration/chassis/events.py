"""The builders of `tests.support.events`, as the tests of the bus name them."""

from contracts.events import JobAssigned, ServedTick, SessionRequested
from tests.support import events


def requested(session_id: str = "session_1") -> SessionRequested:
    return events.just_now(events.requested(session_id))


def tick(session_id: str = "session_1", served_ms: int = 0) -> ServedTick:
    return events.just_now(events.tick(served_ms, session_id=session_id))


def assigned(session_id: str = "session_1", epoch: int = 1) -> JobAssigned:
    return events.just_now(events.assigned(epoch, session_id=session_id))
