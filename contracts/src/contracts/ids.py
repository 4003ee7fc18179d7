"""Identifiers: their form, and how the deterministic ones are made."""

from typing import Annotated, Final
from uuid import UUID, uuid5

from pydantic import StringConstraints

SESSION_ID_PATTERN = r"^session_[A-Za-z0-9_-]{1,72}$"
NODE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

SessionId = Annotated[str, StringConstraints(pattern=SESSION_ID_PATTERN)]
"""`session_<unix ms>_<random>`, or a caller's own id of that alphabet: it is a room name, a subject token and a key."""

NodeId = Annotated[str, StringConstraints(pattern=NODE_ID_PATTERN)]

# Any fixed UUID would do; changing it would change every event's id and so break the deduplication of old logs.
_EVENTS = UUID("6f1b0f5e-6d0b-5c3e-9a53-2f6a3f0f9f11")

_RANDOM_HEX = 12


def session_id(now_ms: int, randomness: bytes) -> str:
    """Make a new session's id.

    Args:
        now_ms: Unix time in ms.
        randomness: At least 6 bytes; the first 6 are used, as 12 hexadecimal digits.
    """
    return f"session_{now_ms}_{randomness.hex()[:_RANDOM_HEX]}"


def event_id(session: str, event: str, epoch: int, n: int) -> UUID:
    """The one id of a fact, the same whoever publishes it and however often: uuid5(session, event, epoch, n)."""
    return uuid5(_EVENTS, f"{session}/{event}/{epoch}/{n}")


def agent_identity(session: str) -> str:
    """The LiveKit identity of a session's agent: the last joiner under it wins, so it fences off an older epoch."""
    return f"agent:{session}"


def caller_identity(session: str) -> str:
    """The LiveKit identity of a session's caller; never taken from a request body."""
    return f"caller:{session}"


MAX_PARTICIPANTS: Final = 100
"""Of a session's room. Two tokens are ours, and LiveKit lets each identity in once; the rest are the operator's own
listeners, and with two places one that came first would lock the caller out."""
