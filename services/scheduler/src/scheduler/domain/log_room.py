"""How much of the log is still needed, and whether there is room for another call."""

from dataclasses import dataclass

MARGIN = 0.1
"""The share of the log that no start may use, so that the calls that run can be written to their end."""


@dataclass(frozen=True, slots=True)
class LogUse:
    """The stream SESSIONS.

    Attributes:
        max_bytes: Its bound; 0 for none.
        first_seq: Of its oldest message.
    """

    bytes: int
    max_bytes: int
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class BillingPlace:
    """How far billing has come.

    Attributes:
        read_seq: Everything up to here is read and settled.
        waiting: Messages behind it that billing has to read, those in its hand among them.
    """

    read_seq: int
    waiting: int


@dataclass(frozen=True, slots=True)
class LogRoom:
    """What the log holds that somebody still needs: the calls that run, and what billing has not read.

    Attributes:
        needed_bytes: From the oldest such message on.
        limit_bytes: From here on no start is taken; 0: there is no limit.
        behind: Messages that billing has to read.
        gone_unread: Messages that the log gave up before billing read them.
    """

    needed_bytes: int
    limit_bytes: int
    behind: int = 0
    gone_unread: int = 0

    @property
    def is_full(self) -> bool:
        """Whether another call could push out what is still needed."""
        return 0 < self.limit_bytes <= self.needed_bytes


def log_room(
    use: LogUse, billing: BillingPlace | None, oldest_open_seq: int | None, *, calls_bytes: int, was_behind: bool
) -> LogRoom:
    """Measure what of the log is needed.

    The stream gives up its oldest messages at its bound, which is right for what is settled. What is not settled must
    not come that far: from the limit on no start is taken, and calls that run can still be written to their end.

    Args:
        billing: None: there is no billing here.
        oldest_open_seq: Of the oldest message of a call that runs; None without one.
        calls_bytes: What all calls that may run at once write at most.
        was_behind: Billing had something to read at the last look: then what is gone now may be a part of it.
    """
    behind = 0 if billing is None else billing.waiting
    needed_from = [use.last_seq + 1]
    if billing is not None and behind:
        needed_from.append(billing.read_seq + 1)
    if oldest_open_seq is not None:
        needed_from.append(oldest_open_seq)
    first = max(use.first_seq, min(needed_from))
    held = use.last_seq - use.first_seq + 1
    needed = round(use.bytes * (use.last_seq - first + 1) / held) if held > 0 else 0
    limit = max(1, use.max_bytes - max(calls_bytes, round(use.max_bytes * MARGIN))) if use.max_bytes else 0
    gone = use.first_seq - billing.read_seq - 1 if billing is not None and was_behind else 0
    return LogRoom(needed, limit, behind, max(0, gone))
