"""The backlog: the sessions to settle, and the position in the log up to which all are settled."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from billing.domain.usage import METERED, Recorded
from contracts.events import SessionEnded

MOST_REMEMBERED: Final = 100_000


class End(NamedTuple):
    """The `ended` of a settled session: its sequence and its time in the log, Unix ms."""

    seq: int
    stored_ms: int


@dataclass(frozen=True)
class Due:
    """A session whose ledger is behind its log.

    Attributes:
        cause: Its `ended`, or a later event.
        seq: Sequence of its first unsettled event.
        is_late: An event arrived after the end, so the bill may have changed.
    """

    cause: Recorded
    seq: int
    is_late: bool


@dataclass
class Backlog:
    """The sessions to settle, and the open ones, whose further events then need no look-up in the ledger.

    Attributes:
        read: Stream sequence of the last event that was added.
        due: Session id -> why it must be settled, the oldest first.
        unknown: Sessions with an event that changes a bill if they are settled, which only the ledger knows.
    """

    read: int = 0
    due: dict[str, Due] = field(default_factory=dict[str, Due])
    unknown: dict[str, Recorded] = field(default_factory=dict[str, Recorded])
    _open: dict[str, None] = field(default_factory=dict[str, None])

    def follow(self, record: Recorded) -> None:
        """Add one event; events arrive in the stream's order."""
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
        """Sort the unknown sessions: a settled one is due again, the others are open.

        An event from before the end of a settled session is part of its bill; when the log is read again, the `ended`
        follows later.
        """
        for session_id, record in self.unknown.items():
            end = settled.get(session_id)
            # Compare both: a stream created again counts from 1, and the clock of a new stream leader may be behind.
            if end is None or (record.seq < end.seq and record.stored_ms <= end.stored_ms):
                self._open[session_id] = None
            else:
                self.due[session_id] = Due(record, record.seq, is_late=True)
        self.unknown.clear()
        while len(self._open) > MOST_REMEMBERED:
            del self._open[next(iter(self._open))]

    @property
    def waiting(self) -> int:
        """Number of sessions that hold the position back."""
        return len(self.due) + len(self.unknown)

    @property
    def position(self) -> int:
        """Every event up to this sequence is settled; a reader that begins after it misses none."""
        return self.position_without(())

    def position_without(self, stuck: Collection[str]) -> int:
        """The position if these sessions did not hold it back."""
        holding = [due.seq for session_id, due in self.due.items() if session_id not in stuck]
        holding += [record.seq for record in self.unknown.values()]
        return min(holding, default=self.read + 1) - 1

    @property
    def oldest_ms(self) -> int | None:
        """When the oldest cause was stored, Unix ms."""
        return min((due.cause.stored_ms for due in self.due.values()), default=None)
