"""Which sessions a list shows, and where the next page begins."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from contracts.events import Outcome
from gateway.domain.read_model import SessionState, Status
from gateway.domain.words import start_words

CURSOR_PATTERN: Final = r"^[0-9]{1,15}-session_[A-Za-z0-9_-]{1,72}$"


@dataclass(frozen=True)
class SessionFilter:
    """All conditions must hold; an empty one always does.

    Attributes:
        user: The start's user name or user id.
        since: The request was made at this time or later.
        until: The request was made before this time.
        metadata: A key that the start's metadata has, and the value it must have; None: any value.
    """

    user: str | None = None
    statuses: frozenset[Status] = frozenset()
    outcomes: frozenset[Outcome] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    metadata: tuple[str, str | None] | None = None

    def matches(self, state: SessionState) -> bool:
        requested = state.requested
        if requested is None:
            return False
        words = start_words(requested)
        if self.user is not None and self.user not in (words.user_name, words.user_id, requested.user_id):
            return False
        if self.statuses and state.status not in self.statuses:
            return False
        if self.outcomes and (state.ended is None or state.ended.outcome not in self.outcomes):
            return False
        if self.metadata is not None:
            key, value = self.metadata
            if key not in requested.metadata or value not in (None, requested.metadata[key]):
                return False
        return (self.since is None or requested.time >= self.since) and (
            self.until is None or requested.time < self.until
        )


class Cursor(NamedTuple):
    """The last session that a page looked at: its request's time in Unix ms, and its id."""

    at_ms: int
    session_id: str

    def __str__(self) -> str:
        return f"{self.at_ms}-{self.session_id}"


def parse_cursor(text: str) -> Cursor:
    """The cursor in a text that matches CURSOR_PATTERN."""
    at_ms, _, session_id = text.partition("-")
    return Cursor(int(at_ms), session_id)


def metadata_condition(text: str) -> tuple[str, str | None]:
    """`key`, or `key:value`."""
    key, colon, value = text.partition(":")
    return key, value if colon else None
