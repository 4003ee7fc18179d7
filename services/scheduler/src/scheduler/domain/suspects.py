"""Nodes on which starts failed: each is left alone for a while, and then tried with one start at a time."""

from dataclasses import dataclass
from typing import Final

_FIRST_PAUSE_MS: Final = 1_000
_LONGEST_PAUSE_MS: Final = 15_000  # half of what a start may take: one that finds only such nodes still gets its try
_FORGOTTEN_MS: Final = 300_000


@dataclass(frozen=True, slots=True)
class Suspect:
    """A node that failed.

    Attributes:
        failures: In a row.
        failed_ms: When it last did.
        rests_until_ms: Until when it gets no start.
    """

    failures: int
    failed_ms: int
    rests_until_ms: int


def after_failure(known: Suspect | None, now_ms: int) -> Suspect:
    """The node failed again: its pause doubles.

    A failure during the pause is of a start that was there before: the pause began with the first of them.
    """
    if known is not None and now_ms < known.failed_ms + pause_ms(known.failures):
        return known
    failures = 1 if known is None else known.failures + 1
    return Suspect(failures, now_ms, now_ms + pause_ms(failures))


def on_trial(known: Suspect, now_ms: int, trial_ms: int) -> Suspect:
    """The node has one start now: no other before this one can be judged."""
    return Suspect(known.failures, known.failed_ms, now_ms + trial_ms)


def is_forgiven(known: Suspect, now_ms: int) -> bool:
    """The failure is so long ago that the node counts as any other."""
    return now_ms >= known.failed_ms + _FORGOTTEN_MS


def pause_ms(failures: int) -> int:
    """How long a node is left alone after so many failures in a row."""
    return min(_LONGEST_PAUSE_MS, _FIRST_PAUSE_MS * 2 ** min(failures - 1, 10))
