"""Whether the agent is deaf: the caller speaks, and speech to text, though connected, says nothing."""

from __future__ import annotations

from typing import Final

SHORTEST_S: Final = 0.5
"""Speech shorter than this may be a cough."""

LONGEST_S: Final = 10.0
"""Somebody who speaks for so long without a word having been recognised is not heard either."""

MOST_SILENCES: Final = 3
"""In a row, after which speech to text is given up."""


class Hearing:
    """Compares what the local model takes for speech with the words that come back. Times are seconds of one clock.

    Attributes:
        silences: How often in a row no words came.
        unheard_since: When the speech began whose words are awaited, or were the last to be overdue.
    """

    def __init__(self, patience_s: float) -> None:
        """Listen.

        Args:
            patience_s: Time for the words to come after the end of speech.
        """
        self.silences = 0
        self.unheard_since = 0.0
        self._patience_s = patience_s
        self._began: float | None = None
        self._due: float | None = None

    def speech(self, at: float, *, is_on: bool) -> None:
        """The caller began (True) or ended (False) to speak, as the voice activity model sees it."""
        if is_on:
            self._began = at
            if self._due is None:
                self.unheard_since, self._due = at, at + LONGEST_S
        elif self._began is not None:
            was_long = at - self._began >= SHORTEST_S
            self._began = None
            self._due = at + self._patience_s if was_long else None

    def words(self) -> None:
        """Words came."""
        self.silences = 0
        self._due = None

    def is_deaf(self, now: float) -> bool:
        """Whether words are overdue. Once True, the next speech has its own time."""
        if self._due is None or now < self._due:
            return False
        self._due = None
        self.silences += 1
        return True

    @property
    def is_hopeless(self) -> bool:
        """Whether too much went unheard in a row."""
        return self.silences >= MOST_SILENCES
