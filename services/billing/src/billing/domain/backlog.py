"""What of the log still has to be settled, and how far it is dealt with, by the events in the log's own order."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from contracts.events import SessionEnded

from billing.domain.usage import METERED, LoggedEvent

MOST_REMEMBERED: Final = 100_000


class End(NamedTuple):
    """The `ended` by which a session is settled: its sequence, and when it was stored, Unix ms."""

    seq: int
    stored_ms: int


@dataclass(frozen=True)
class Due:
    """A session whose ledger has to be brought up to its log.

    Attributes:
        cause: Its `ended`, or what came behind that.
        seq: The sequence of its first event that is not dealt with.
        is_late: Something came behind the end, so the bill may have changed since.
    """

    cause: LoggedEvent
    seq: int
    is_late: bool


@dataclass
class Backlog:
    """Follows the log; holds the sessions to settle, and those that go on, so that their events cost no look-up.

    Attributes:
        read: Stream sequence of the last event that was followed.
        due: Session id -> why it has to be settled, the oldest first.
        unknown: Sessions with an event that changes a bill if they are settled already; only the ledger knows.
    """

    read: int = 0
    due: dict[str, Due] = field(default_factory=dict[str, Due])
    unknown: dict[str, LoggedEvent] = field(default_factory=dict[str, LoggedEvent])
    _open: dict[str, None] = field(default_factory=dict[str, None])

    def follow(self, record: LoggedEvent) -> None:
        """Take in one event; they come in the stream's order."""
        self.read = max(self.read, record.seq)
        event, session_id = record.event, record.event.session_id
        if isinstance(event, SessionEnded):
            self._open.pop(session_id, None)
            first = self.unknown.pop(session_id, record)
            self.due.setdefault(session_id, Due(record, first.seq, is_late=False))
        elif isinstance(event, METERED):
            if session_id in self.due:
                self.due[session_id] = replace(self.due[session_id], is_late=True)
            elif session_id not in self._open:
                self.unknown.setdefault(session_id, record)

    def learn(self, settled: Mapping[str, End]) -> None:
        """Which of the unknown sessions are settled, and by which end; the others go on.

        An event from before that end is part of the bill: where the log is read again, its `ended` is still to come.
        """
        for session_id, record in self.unknown.items():
            end = settled.get(session_id)
            # Both: a log that was made again counts from 1, and the clock of a new leader of the stream may be behind.
            if end is None or (record.seq < end.seq and record.stored_ms <= end.stored_ms):
                self._open[session_id] = None
            else:
                self.due[session_id] = Due(record, record.seq, is_late=True)
        self.unknown.clear()
        while len(self._open) > MOST_REMEMBERED:
            del self._open[next(iter(self._open))]

    @property
    def waiting(self) -> int:
        """How many sessions hold the position back."""
        return len(self.due) + len(self.unknown)

    @property
    def position(self) -> int:
        """Everything up to this sequence is dealt with: who begins behind it misses nothing."""
        return self.position_without(())

    def position_without(self, stuck: Collection[str]) -> int:
        """The position if these sessions did not hold it back."""
        holding = [due.seq for session_id, due in self.due.items() if session_id not in stuck]
        holding += [record.seq for record in self.unknown.values()]
        return min(holding, default=self.read + 1) - 1

    @property
    def oldest_ms(self) -> int | None:
        """When the first of the waiting causes was stored, Unix ms."""
        return min((due.cause.stored_ms for due in self.due.values()), default=None)
