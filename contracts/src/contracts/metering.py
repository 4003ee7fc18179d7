"""The metering rule, pure: from a session's log to billable milliseconds, seconds and minutes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from contracts.events import (
    AgentReady,
    AgentStopped,
    Event,
    JobAssigned,
    ServedTick,
    SessionEnded,
    SessionRequested,
    SessionStarted,
)

RULE: Final = 2
"""The current rule of `meter`. A session keeps the rule that settled it, so older rules stay:

1. Reports count in full. The epoch's whole fault time is subtracted after the cap at its span.
2. A report counts up to the time that JetStream's clock allows. Only the fault time within the span is subtracted.
"""

CLOCK_TOLERANCE_MS: Final = 5_000
"""An epoch may report this much more than JetStream's clock allows: a new NATS leader's clock may be behind."""

LONGEST_EPOCH_MS: Final = 7 * 86_400_000
"""Longer than any epoch: the log keeps events for 7 days, and a session without its first event is not billed."""

SPENT_EARLY_MS: Final = 500
"""A call ends this long before its grant runs out, so that the last beat of its worker stays within the grant."""


@dataclass(frozen=True)
class LogRecord:
    """One event of a session's log.

    Attributes:
        stored_ms: JetStream's timestamp of the message, Unix ms: the only clock that all epochs share.
    """

    event: Event
    stored_ms: int


@dataclass(frozen=True)
class EpochUsage:
    """The served time of one epoch.

    Attributes:
        served_ms: The greatest reported served time, after each report was limited by JetStream's clock.
        fault_ms: Time within the span in which a provider's fault kept the agent deaf or mute.
        span_ms: Time from the epoch's beginning to its successor's `agent_ready`; None without a successor.
        cut_ms: The reported time that JetStream's clock did not allow.
        deciding: The records behind these figures: `assigned`, `agent_ready`, the reports of served and fault time.
    """

    epoch: int
    served_ms: int
    span_ms: int | None
    fault_ms: int = 0
    cut_ms: int = 0
    deciding: tuple[LogRecord, ...] = field(default=(), compare=False)

    @property
    def billable_ms(self) -> int:
        """The served time, capped at the span, minus the fault time."""
        return billable(self.served_ms, self.span_ms, self.fault_ms)


@dataclass(frozen=True)
class Metered:
    """A session's usage.

    Attributes:
        billable_ms: The sum over the epochs, capped at the grant.
        granted_minutes: The session's grant; None: unlimited.
    """

    epochs: tuple[EpochUsage, ...]
    billable_ms: int
    granted_minutes: int | None = None

    @property
    def seconds(self) -> int:
        return seconds(self.billable_ms)

    @property
    def minutes(self) -> int:
        """Begun minutes."""
        return minutes(self.billable_ms)


def billable(served_ms: int, span_ms: int | None, fault_ms: int) -> int:
    """An epoch's billable time: the served time, capped at the span, minus the fault time, at least 0."""
    capped = served_ms if span_ms is None else min(served_ms, span_ms)
    return max(0, capped - fault_ms)


def is_possible(report: ServedTick | AgentStopped) -> bool:
    """Whether an epoch can have served that long; `meter` ignores other reports."""
    return report.served_ms <= LONGEST_EPOCH_MS


def granted_ms(granted_minutes: int) -> int:
    """A grant in milliseconds of billable time."""
    return granted_minutes * 60_000


def within_grant(billable_ms: int, granted_minutes: int | None) -> int:
    """A session's billable time, capped at its grant; None: unlimited."""
    return billable_ms if granted_minutes is None else min(billable_ms, granted_ms(granted_minutes))


def is_spent(billable_ms: int, granted_minutes: int | None) -> bool:
    """Whether the session must end now because its grant runs out within SPENT_EARLY_MS."""
    return granted_minutes is not None and billable_ms >= granted_ms(granted_minutes) - SPENT_EARLY_MS


def seconds(billable_ms: int) -> int:
    """Whole seconds, rounded down."""
    return billable_ms // 1000


def minutes(billable_ms: int) -> int:
    """Begun minutes of the whole seconds: 0 s gives 0, 1 to 60 s give 1, 61 s give 2."""
    return -(-seconds(billable_ms) // 60)


class _Report(NamedTuple):
    served_ms: int
    fault_ms: int
    record: LogRecord


class _Log:
    """A session's records, by what they say; `reports` and the others are by epoch."""

    def __init__(self) -> None:
        self.reports: dict[int, dict[tuple[int, int], _Report]] = {}
        self.assigned: dict[int, LogRecord] = {}
        self.ready: dict[int, LogRecord] = {}
        self.granted: list[int | None] = []
        self.asked: list[int | None] = []
        self.started = False
        self.ended_ms: int | None = None
        self._requested: LogRecord | None = None

    @property
    def first_ms(self) -> int | None:
        """The beginning of an epoch whose `assigned` is lost or unreadable: the first `assigned`, or `requested`."""
        first = min(self.assigned.values(), key=_stored_ms, default=self._requested)
        return None if first is None else first.stored_ms

    def add(self, record: LogRecord) -> None:
        event = record.event
        match event:
            case SessionRequested():
                self.asked.append(event.credit_limit_minutes)
                self._requested = _earlier(record, self._requested)
            case SessionStarted():
                self.started = True
            case ServedTick() | AgentStopped() if is_possible(event):
                said = (event.served_ms, min(event.fault_ms, LONGEST_EPOCH_MS))
                known = self.reports.setdefault(event.epoch, {})
                # A repeated report counts from its first copy; otherwise a repetition would change a bill.
                known[said] = _Report(*said, _earlier(record, known[said].record if said in known else None))
            case JobAssigned():
                self.assigned[event.epoch] = min(self.assigned.get(event.epoch, record), record, key=_began_ms)
                self.granted.append(event.granted_minutes)
            case AgentReady():
                self.ready[event.epoch] = _earlier(record, self.ready.get(event.epoch))
            case SessionEnded():
                self.ended_ms = record.stored_ms if self.ended_ms is None else min(self.ended_ms, record.stored_ms)
            case _:
                pass


def meter(records: Iterable[LogRecord], rule: int = RULE) -> Metered:
    """Measure one session from its log. The records may be in any order, incomplete and repeated.

    - An epoch's served time is its greatest report; so is its fault time, which is not billed. Both only grow. Records
      of an older node have no fault time. A report of more than LONGEST_EPOCH_MS is ignored.
    - A report counts at most the time from the epoch's beginning until JetStream stored the report, or until `ended`
      if that is earlier, plus CLOCK_TOLERANCE_MS. A delayed report is stored later, so this takes nothing from it.
    - An epoch with a successor is capped at its span: from its beginning to the successor's first `agent_ready`.
    - An epoch begins at its first `assigned`, minus the `age_ms` of an `assigned` that was written again to a lost log.
    - Without `started`, the session served nothing.
    - The grant caps the sum: the greatest grant of any `assigned`. If no `assigned` has one (a scheduler older than
      grants), the limit in `requested` applies.

    Args:
        records: The session's events with their timestamps.
        rule: RULE, or for a settled session the rule that settled it.
    """
    log = _Log()
    for record in records:
        log.add(record)
    epochs = tuple(_epoch(epoch, log, rule) for epoch in sorted(log.reports))
    billable_ms = sum(e.billable_ms for e in epochs) if log.started else 0
    granted_minutes = _greatest(log.granted, default=_greatest(log.asked) if log.granted else None)
    return Metered(epochs, within_grant(billable_ms, granted_minutes), granted_minutes)


def _epoch(epoch: int, log: _Log, rule: int) -> EpochUsage:
    reports = [*log.reports[epoch].values()]
    assigned, ready = log.assigned.get(epoch), log.ready.get(epoch)
    span_ms = _span_ms(epoch, log.assigned, log.ready)
    reported_ms = max(report.served_ms for report in reports)
    most_ms = max(report.fault_ms for report in reports)
    if rule == 1:
        served_ms, fault_ms = reported_ms, most_ms
        longest = next(report for report in reports if report.served_ms == reported_ms)
    else:
        since_ms = log.first_ms if assigned is None else _began_ms(assigned)
        bounded = [min(r.served_ms, _possible_ms(r.record.stored_ms, since_ms, log.ended_ms)) for r in reports]
        served_ms = max(bounded)
        longest = reports[bounded.index(served_ms)]
        fault_ms = _fault_within(served_ms if span_ms is None else min(served_ms, span_ms), reports)
    at_fault = next((r.record for r in reports if r.fault_ms == most_ms), None) if most_ms else None
    deciding = (assigned, ready, longest.record, at_fault)
    return EpochUsage(
        epoch=epoch,
        served_ms=served_ms,
        span_ms=span_ms,
        fault_ms=fault_ms,
        cut_ms=reported_ms - served_ms,
        deciding=tuple(record for record in deciding if record is not None),
    )


def _possible_ms(stored_ms: int, began_ms: int | None, ended_ms: int | None) -> int:
    """The longest time that an epoch can have served when its report was stored, or when the session ended."""
    if began_ms is None:
        return LONGEST_EPOCH_MS
    until_ms = stored_ms if ended_ms is None else min(stored_ms, ended_ms)
    return max(0, until_ms - began_ms) + CLOCK_TOLERANCE_MS


def _fault_within(served_ms: int, reports: Sequence[_Report]) -> int:
    """The fault time in the first part of an epoch. Between two reports it is estimated in the caller's favour.

    Args:
        served_ms: Length of that part, in served time.
    """
    before_ms = max((r.served_ms for r in reports if r.served_ms <= served_ms), default=0)
    fault_ms = max((r.fault_ms for r in reports if r.served_ms <= served_ms), default=0)
    next_ms = min((r.served_ms for r in reports if r.served_ms > served_ms), default=None)
    if next_ms is None:
        return fault_ms
    later_ms = max(fault_ms, *(r.fault_ms for r in reports if r.served_ms == next_ms))
    at_most = min(later_ms, fault_ms + served_ms - before_ms)
    return max(at_most, later_ms - (next_ms - served_ms))  # a fault can begin before the report that precedes it


def _stored_ms(record: LogRecord) -> int:
    return record.stored_ms


def _began_ms(record: LogRecord) -> int:
    """The beginning of the epoch with this `assigned`, on JetStream's clock."""
    age_ms = min(record.event.age_ms, LONGEST_EPOCH_MS) if isinstance(record.event, JobAssigned) else 0
    return record.stored_ms - age_ms


def _earlier(record: LogRecord, other: LogRecord | None) -> LogRecord:
    return record if other is None or record.stored_ms < other.stored_ms else other


def _greatest(minutes: Iterable[int | None], default: int | None = None) -> int | None:
    return max((each for each in minutes if each is not None), default=default)


def _span_ms(epoch: int, assigned: dict[int, LogRecord], ready: dict[int, LogRecord]) -> int | None:
    later = [record.stored_ms for successor, record in ready.items() if successor > epoch]
    if epoch not in assigned or not later:
        return None
    return max(0, min(later) - _began_ms(assigned[epoch]))
