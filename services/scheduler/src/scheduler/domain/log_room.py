"""How much of the log is still needed, and whether another call fits."""

from dataclasses import dataclass

MARGIN = 0.1
"""The share of the log that is reserved for running calls; starts are refused before it is used."""


@dataclass(frozen=True, slots=True)
class StoreUse:
    """The use of one stream or bucket.

    Attributes:
        max_bytes: Its bound; 0 for none.
        oldest_s: When its oldest message was stored, Unix seconds; None if it is empty.
    """

    name: str
    bytes: int
    max_bytes: int
    messages: int
    oldest_s: float | None
    first_seq: int
    last_seq: int
    consumers: int


@dataclass(frozen=True, slots=True)
class BillingPosition:
    """Billing's position in the log.

    Attributes:
        read_seq: Everything up to here is read and settled.
        waiting: Messages behind it that billing has to settle, in-flight ones included.
    """

    read_seq: int
    waiting: int


@dataclass(frozen=True, slots=True)
class LogRoom:
    """The part of the log that is still needed: running calls, and what billing has not read.

    Attributes:
        needed_bytes: From the oldest needed message to the end.
        limit_bytes: Starts are refused from here on; 0: unlimited.
        behind: Messages that billing has to read.
        gone_unread: Messages that the stream deleted before billing read them.
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
    use: StoreUse, billing: BillingPosition | None, oldest_open_seq: int | None, *, calls_bytes: int, was_behind: bool
) -> LogRoom:
    """Measure how much of the log is needed.

    At its bound the stream deletes its oldest messages. Settled messages may go, others may not: starts are refused
    from the limit on, and running calls can still be written to their end.

    Args:
        use: Of the stream SESSIONS.
        billing: None: this deployment runs without billing.
        oldest_open_seq: Sequence of the oldest message of a running call; None without one.
        calls_bytes: Most bytes that all concurrent calls write.
        was_behind: Billing had unread messages at the last look, so deleted messages may have been among them.
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
