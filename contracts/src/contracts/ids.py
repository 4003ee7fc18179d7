"""Identifiers: their patterns, and the functions that build them."""

from typing import Annotated, Final
from uuid import UUID, uuid5

from pydantic import StringConstraints

SESSION_ID_PATTERN = r"^session_[A-Za-z0-9_-]{1,72}$"
NODE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"

SessionId = Annotated[str, StringConstraints(pattern=SESSION_ID_PATTERN)]
"""`session_<unix ms>_<random>`, or an id that the client chose. It is also a room name, a subject token and a key."""

NodeId = Annotated[str, StringConstraints(pattern=NODE_ID_PATTERN)]

# Never change it: every event's id would change, and the deduplication against old logs would fail.
_EVENTS = UUID("6f1b0f5e-6d0b-5c3e-9a53-2f6a3f0f9f11")

_RANDOM_HEX = 12


def session_id(now_ms: int, randomness: bytes) -> str:
    """Build a new session's id.

    Args:
        now_ms: Unix time in ms.
        randomness: At least 6 bytes; the first 6 are used, as 12 hexadecimal digits.
    """
    return f"session_{now_ms}_{randomness.hex()[:_RANDOM_HEX]}"


def event_id(session: str, event: str, epoch: int, n: int) -> UUID:
    """Derive an event's id, uuid5(session, event, epoch, n), so that every publisher and every retry get the same."""
    return uuid5(_EVENTS, f"{session}/{event}/{epoch}/{n}")


AGENT_PREFIX: Final = "agent:"


def agent_identity(session: str) -> str:
    """The LiveKit identity of a session's agent. LiveKit removes an older holder, so a new epoch fences off the old."""
    return f"{AGENT_PREFIX}{session}"


def caller_identity(session: str) -> str:
    """The LiveKit identity of a session's caller; it never comes from a request body."""
    return f"caller:{session}"
