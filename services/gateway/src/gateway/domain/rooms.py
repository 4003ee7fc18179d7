"""Whether a LiveKit room that was there before the start may be its room."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.ids import agent_identity, caller_identity

_FRESH: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class MadeRoom:
    """What LiveKit answered to CreateRoom: a new room, or the one that had the name already.

    Attributes:
        is_new: This very call made it.
        has_our_settings: The participants and timeouts that we ask for; an existing room keeps its first ones.
        created_at: On LiveKit's clock.
    """

    is_new: bool
    has_our_settings: bool
    created_at: datetime


def is_usable(room: MadeRoom, inside: frozenset[str], session_id: str, now: datetime) -> bool:
    """Whether a start may use a room that existed, and that no session of the log owns.

    An empty one must be fresh, such as another try of the same start made: LiveKit counts its empty timeout from the
    creation, so an older one could close before the caller comes.
    """
    strangers = inside - {caller_identity(session_id), agent_identity(session_id)}
    if strangers or not room.has_our_settings:
        return False
    return bool(inside) or now - room.created_at < _FRESH
