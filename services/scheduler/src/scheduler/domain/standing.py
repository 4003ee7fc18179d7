"""Whether a session has ended, by what its log still holds."""

from collections.abc import Sequence
from enum import StrEnum

from contracts.events import Event, SessionEnded, SessionRequested
from scheduler.domain.session import ENDED, REQUESTED, Recorded, Unreadable

CLOCKS_MS = 60_000
"""Most difference between another clock and the log's, and between a room and its later `requested`."""


class Standing(StrEnum):
    """OPEN: requested, not ended. ENDED: ended, or never requested. LOST: the log begins too late to say."""

    OPEN = "open"
    ENDED = "ended"
    LOST = "lost"


def standing(history: Sequence[Recorded], *, made_ms: int | None, begins_ms: int) -> Standing:
    """Tell whether a session is open, has ended, or has lost the beginning of its log.

    A missing `requested` proves "never requested" only for things made since the log began: a stream at its bound
    deletes its oldest messages, and a lost store has lost all of them.

    Args:
        history: All records of the session.
        made_ms: When the session's room or slot was made, Unix ms; None: unknown.
        begins_ms: Since when the log is complete.
    """
    if any(_is(record.event, SessionEnded, ENDED) for record in history):
        return Standing.ENDED
    if has_beginning(history):
        return Standing.OPEN
    since_ms = begins_ms + CLOCKS_MS
    return Standing.ENDED if made_ms is not None and made_ms >= since_ms else Standing.LOST


def has_beginning(history: Sequence[Recorded]) -> bool:
    """Whether a session's log has its `requested`, readable or not."""
    return any(_is(record.event, SessionRequested, REQUESTED) for record in history)


def _is(event: Event, kind: type[Event], name: str) -> bool:
    return isinstance(event, kind) or (isinstance(event, Unreadable) and event.kind == name)
