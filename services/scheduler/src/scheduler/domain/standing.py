"""Whether a session is over, by what its log still holds."""

from collections.abc import Sequence
from enum import StrEnum

from contracts.events import Event, SessionEnded, SessionRequested

from scheduler.domain.session import ENDED, REQUESTED, Recorded, Unreadable

CLOCKS_MS = 60_000
"""How far the clock that dated something may be from the log's, and how long a room is older than its `requested`."""


class Standing(StrEnum):
    """OPEN: requested, and not ended. OVER: ended, or never requested. LOST: the log begins too late to tell."""

    OPEN = "open"
    OVER = "over"
    LOST = "lost"


def standing(history: Sequence[Recorded], *, made_ms: int | None, begins_ms: int) -> Standing:
    """Say how a session stands.

    A log without its `requested` says "never requested" only of what was made since the log began: a stream at its
    bound gives up its oldest messages, and a lost store all of them.

    Args:
        history: All that the log holds of the session.
        made_ms: When what belongs to the session (its room, its slot) was made, Unix ms; None: not known.
        begins_ms: Since when the log is whole.
    """
    if any(_is(record.event, SessionEnded, ENDED) for record in history):
        return Standing.OVER
    if any(_is(record.event, SessionRequested, REQUESTED) for record in history):
        return Standing.OPEN
    since_ms = begins_ms + CLOCKS_MS
    return Standing.OVER if made_ms is not None and made_ms >= since_ms else Standing.LOST


def _is(event: Event, kind: type[Event], name: str) -> bool:
    return isinstance(event, kind) or (isinstance(event, Unreadable) and event.kind == name)
