"""The bill's rule, in one place and pure: the log in, milliseconds, seconds and minutes out."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from contracts.events import AgentReady, AgentStopped, Event, JobAssigned, ServedTick, SessionRequested, SessionStarted

CREDIT_SPENT: Final = "credit_spent"
"""Why a session ended that used up its grant: the cause in `agent_stopped`, the reason in `ended`."""

LONGEST_EPOCH_MS: Final = 7 * 86_400_000
"""More than any epoch served: the log keeps a session 7 days, and bills none that has lost its beginning."""

SPENT_EARLY_MS: Final = 500
"""A call ends so long before its grant runs out, so that no last beat of its worker exceeds it."""


@dataclass(frozen=True)
class LogRecord:
    """One event of a session's log.

    Attributes:
        stored_ms: JetStream's own timestamp of the message, Unix ms: the one clock that all epochs share.
    """

    event: Event
    stored_ms: int


@dataclass(frozen=True)
class EpochUsage:
    """What one epoch served.

    Attributes:
        served_ms: The last served time that the epoch reported.
        fault_ms: The part of it in which a provider kept the agent deaf or mute, as the epoch last reported it.
        span_ms: From its `assigned` to its successor's `agent_ready`; None while it has no successor.
    """

    epoch: int
    served_ms: int
    span_ms: int | None
    fault_ms: int = 0

    @property
    def billable_ms(self) -> int:
        """The served time, never more than the epoch's span, without its fault time."""
        return billable(self.served_ms, self.span_ms, self.fault_ms)


@dataclass(frozen=True)
class Metered:
    """A session's usage.

    Attributes:
        billable_ms: The sum over the epochs, never more than the grant.
        granted_minutes: The session's grant; None: no bound.
    """

    epochs: tuple[EpochUsage, ...]
    billable_ms: int
    granted_minutes: int | None = None

    @property
    def seconds(self) -> int:
        """Whole seconds, rounded down."""
        return seconds(self.billable_ms)

    @property
    def minutes(self) -> int:
        """Begun minutes."""
        return minutes(self.billable_ms)


def billable(served_ms: int, span_ms: int | None, fault_ms: int) -> int:
    """What is billed of one epoch: its served time, capped at its span, less its fault time, and never below 0."""
    capped = served_ms if span_ms is None else min(served_ms, span_ms)
    return max(0, capped - fault_ms)


def is_possible(report: ServedTick | AgentStopped) -> bool:
    """Whether an epoch can have served that long; a report of more counts as none."""
    return report.served_ms <= LONGEST_EPOCH_MS


def granted_ms(granted_minutes: int) -> int:
    """A grant in milliseconds of billable time."""
    return granted_minutes * 60_000


def within_grant(billable_ms: int, granted_minutes: int | None) -> int:
    """What is billed of a session's billable time: all of it up to its grant; None: no bound."""
    return billable_ms if granted_minutes is None else min(billable_ms, granted_ms(granted_minutes))


def is_spent(billable_ms: int, granted_minutes: int | None) -> bool:
    """Whether a session is to end because its grant runs out within SPENT_EARLY_MS."""
    return granted_minutes is not None and billable_ms >= granted_ms(granted_minutes) - SPENT_EARLY_MS


def seconds(billable_ms: int) -> int:
    """`ms // 1000`."""
    return billable_ms // 1000


def minutes(billable_ms: int) -> int:
    """Ceil-minutes of the whole seconds: 0 s is 0, 1 to 60 s is 1, 61 s is 2."""
    return -(-seconds(billable_ms) // 60)


def meter(records: Iterable[LogRecord]) -> Metered:
    """Measure one session from its log, whatever the order, the gaps and the repetitions of the records.

    An epoch's served time is the greatest it reported, and so is its fault time, which is not billed (both only grow;
    an older node's records have none); a report of more than LONGEST_EPOCH_MS is left out. An epoch with a successor is
    capped at its span, from its first `assigned` to the successor's first `agent_ready`, on JetStream's clock. Without
    a `started` nothing was served. The session's grant bounds the sum: the greatest of any `assigned`. A scheduler of
    before there were grants assigns without one: then the limit that the start asked for holds.

    Args:
        records: The session's events with their timestamps, in any order.
    """
    served: dict[int, int] = {}
    faults: dict[int, int] = {}
    assigned: dict[int, int] = {}
    ready: dict[int, int] = {}
    granted: list[int | None] = []
    asked: list[int | None] = []
    started = False
    for record in records:
        event, at = record.event, record.stored_ms
        match event:
            case SessionRequested():
                asked.append(event.credit_limit_minutes)
            case SessionStarted():
                started = True
            case ServedTick() | AgentStopped() if is_possible(event):
                served[event.epoch] = max(served.get(event.epoch, 0), event.served_ms)
                faults[event.epoch] = max(faults.get(event.epoch, 0), min(event.fault_ms, LONGEST_EPOCH_MS))
            case JobAssigned():
                assigned[event.epoch] = min(assigned.get(event.epoch, at), at)
                granted.append(event.granted_minutes)
            case AgentReady():
                ready[event.epoch] = min(ready.get(event.epoch, at), at)
            case _:
                pass
    epochs = tuple(
        EpochUsage(
            epoch=epoch,
            served_ms=served[epoch],
            span_ms=_span_ms(epoch, assigned, ready),
            fault_ms=faults[epoch],
        )
        for epoch in sorted(served)
    )
    billable_ms = sum(e.billable_ms for e in epochs) if started else 0
    granted_minutes = _greatest(granted, default=_greatest(asked) if granted else None)
    return Metered(epochs, within_grant(billable_ms, granted_minutes), granted_minutes)


def _greatest(minutes: Iterable[int | None], default: int | None = None) -> int | None:
    return max((each for each in minutes if each is not None), default=default)


def _span_ms(epoch: int, assigned: dict[int, int], ready: dict[int, int]) -> int | None:
    later = [at for successor, at in ready.items() if successor > epoch]
    if epoch not in assigned or not later:
        return None
    return max(0, min(later) - assigned[epoch])
