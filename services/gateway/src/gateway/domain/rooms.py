"""Whether a start may use a LiveKit room that existed before."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from contracts.ids import agent_identity, caller_identity

_FRESH: Final = timedelta(seconds=10)


@dataclass(frozen=True)
class MadeRoom:
    """LiveKit's answer to CreateRoom: a new room, or an existing one with the same name.

    Attributes:
        is_new: This call created it.
        has_our_settings: It has the requested participants and timeouts; CreateRoom does not change an existing room.
        created_at: On LiveKit's clock.
    """

    is_new: bool
    has_our_settings: bool
    created_at: datetime


def is_usable(room: MadeRoom, inside: frozenset[str], session_id: str, now: datetime) -> bool:
    """Whether a start may use an existing room that no session of the log owns.

    An empty room must be at most 10 s old, such as one from another attempt of the same start: LiveKit counts its empty
    timeout from the creation, so an older one could close before the caller joins.
    """
    strangers = inside - {caller_identity(session_id), agent_identity(session_id)}
    if strangers or not room.has_our_settings:
        return False
    return bool(inside) or now - room.created_at < _FRESH
