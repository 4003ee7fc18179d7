"""Whether the agent is deaf: the caller speaks, and speech-to-text is connected but returns no words."""

from typing import Final

SHORTEST_S: Final = 0.5
"""Speech shorter than this may be a cough."""

LONGEST_S: Final = 10.0
"""Speech that goes on for so long without a recognised word counts as unheard before it ends."""

MOST_SILENCES: Final = 3
"""Unheard utterances in a row after which speech-to-text counts as broken."""


class Hearing:
    """Compares the speech that the local model detects with the words that come back. Times are seconds of one clock.

    Attributes:
        silences: Unheard utterances in a row.
        unheard_since: When the speech began whose words are pending, or were overdue last.
    """

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: how long after the end of speech its words may come."""
        self.silences = 0
        self.unheard_since = 0.0
        self._patience_s = patience_s
        self._began: float | None = None
        self._due: float | None = None

    def speech(self, at: float, *, is_on: bool) -> None:
        """The voice activity model reports that the caller started (True) or stopped (False) speaking."""
        if is_on:
            self._began = at
            if self._due is None:
                self.unheard_since, self._due = at, at + LONGEST_S
        elif self._began is not None:
            was_long = at - self._began >= SHORTEST_S
            self._began = None
            self._due = at + self._patience_s if was_long else None

    def words(self) -> None:
        """Record that words came."""
        self.silences = 0
        self._due = None

    def is_deaf(self, now: float) -> bool:
        """Whether words are overdue. Returns True once for each utterance."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        self.silences += 1
        return True

    @property
    def is_hopeless(self) -> bool:
        """Whether too many utterances in a row went unheard."""
        return self.silences >= MOST_SILENCES
