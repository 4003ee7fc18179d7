"""When the agent holds its audio because the caller makes a sound, and when it goes on. Pure."""

from dataclasses import dataclass, replace
from typing import Final, Self

LONGEST_SOUND_S: Final = 2.0
"""A sound without words pauses the agent for so long; the agent then speaks beside it."""

MOST_WORDLESS: Final = 2
"""Pauses in a row that brought no words, after which only words stop the agent: an echo, a song or a cold."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Effect: hold the agent's audio; discard nothing."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Effect: the agent goes on where it paused."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A pause of the agent, pending or in effect. Times are seconds of one clock.

    Attributes:
        due: When the agent pauses, if the sound goes on.
        since: When it paused; None: it is not paused.
        until: When it goes on.
        wordless: Pauses in a row that brought no words.
    """

    due: float | None = None
    since: float | None = None
    until: float = 0.0
    wordless: int = 0

    @property
    def is_paused(self) -> bool:
        return self.since is not None

    @property
    def is_exhausted(self) -> bool:
        """Whether only words stop the agent now."""
        return self.wordless >= MOST_WORDLESS

    @property
    def next_at(self) -> float | None:
        """When `passed` is due."""
        return self.until if self.is_paused else self.due

    def sound_began(self, due: float) -> Self:
        """A sound pauses the agent at `due`, or prolongs the present pause."""
        if self.since is None:
            return replace(self, due=due)
        return replace(self, until=max(self.until, self.since + LONGEST_SOUND_S))

    def sound_ended(self, at: float, resume_after_s: float) -> Self:
        """The agent goes on `resume_after_s` after the sound's end at `at`, or does not pause."""
        if self.since is None:
            return self.ended()
        # A row of short sounds does not prolong the pause for ever.
        return replace(self, until=min(at, self.since + LONGEST_SOUND_S) + resume_after_s)

    def words_came(self) -> Self:
        """The caller says words: its sounds pause the agent again."""
        return replace(self, wordless=0)

    def ended(self) -> Self:
        """Nothing is left to hold, or the agent goes on."""
        return replace(self, due=None, since=None)

    def passed(self, now: float) -> tuple[Self, tuple[Pause | Resume, ...]]:
        """Time passed."""
        if self.is_paused and now >= self.until:
            return replace(self.ended(), wordless=self.wordless + 1), (Resume(),)
        if self.due is not None and now >= self.due:
            return replace(self, due=None, since=now, until=now + LONGEST_SOUND_S), (Pause(),)
        return self, ()
