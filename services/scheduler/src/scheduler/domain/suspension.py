"""Nodes on which starts failed: each gets no start for a pause, then one start at a time."""

from dataclasses import dataclass, replace
from typing import Final

_FIRST_PAUSE_MS: Final = 1_000
_LONGEST_PAUSE_MS: Final = 15_000  # half of BOT_STARTUP_TIMEOUT: a start that finds only such nodes is still tried
_FORGIVEN_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Suspension:
    """The state of a node that failed.

    Attributes:
        failures: In a row.
        failed_ms: Time of the last failure.
        until_ms: The node gets no start before this time.
        failure: Why the last start failed.
    """

    failures: int
    failed_ms: int
    until_ms: int
    failure: str = ""


def after_failure(known: Suspension | None, now_ms: int, failure: str = "") -> Suspension:
    """Double the pause of a node that failed again.

    A failure during the pause belongs to a start from before it, so it does not count.
    """
    if known is not None and now_ms < known.failed_ms + pause_ms(known.failures):
        return known
    failures = 1 if known is None else known.failures + 1
    return Suspension(failures, now_ms, now_ms + pause_ms(failures), failure)


def on_trial(known: Suspension, now_ms: int, trial_ms: int) -> Suspension:
    """Give the node one start, and no other until this one is judged."""
    return replace(known, until_ms=now_ms + trial_ms)


def is_forgiven(known: Suspension, now_ms: int) -> bool:
    """Whether the last failure is so old that the node counts as healthy."""
    return now_ms >= known.failed_ms + _FORGIVEN_MS


def pause_ms(failures: int) -> int:
    """How long a node gets no start after that many failures in a row."""
    return min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** min(failures - 1, 10))
