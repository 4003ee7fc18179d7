"""Whether speech to text works, and whether the caller waits for an answer to words that never came.

A sound without words proves nothing: it may be a hum, a child, music on hold. The recogniser counts as deaf by its own
signs only: a session in which not one message came, though it is open, or speech for seconds without any message.
"""

from dataclasses import dataclass
from typing import Final

SHORTEST_S: Final = 0.5
"""Speech shorter than this may be a cough."""

GREETING_S: Final = 5.0
"""AssemblyAI begins a session with a message within half a second; a session without one for so long is deaf."""

UNANSWERED_S: Final = 8.0
"""Speech of the caller's, in seconds, during which an open session sent nothing, not even that speech began.

Each attempt with a new session doubles it, until words come."""

LONGEST_UNANSWERED_S: Final = 64.0
"""The most that it becomes."""

MOST_DEAF: Final = 3
"""Deaf sessions in a row after which speech to text counts as broken."""


@dataclass(frozen=True, slots=True)
class Deaf:
    """Replace the session of speech to text.

    Attributes:
        for_s: Seconds since it has been deaf.
        times: Sessions in a row that sent nothing.
        is_proven: The session sent nothing at all, so the recogniser is at fault; else the replacement is an attempt.
        moves: An attempt before this one brought no words either: try another endpoint.
    """

    for_s: float
    times: int
    is_proven: bool
    moves: bool = False

    @property
    def is_hopeless(self) -> bool:
        return self.times >= MOST_DEAF


class Hearing:
    """Compares the speech that the local model detects with what comes back. Times are seconds of one clock."""

    def __init__(self, patience_s: float) -> None:
        """`patience_s`: from the report that speech has ended until the agent asks for its words again."""
        self._patience_s = patience_s
        self._deaf_sessions = 0
        self._opened: float | None = None  # while the session has sent nothing
        self._began: float | None = None
        self._needs_words = False  # the present or last speech: without words the agent asks for it
        self._first_unanswered = 0.0
        self._unanswered_s = 0.0
        self._attempts = 0  # new sessions since words came
        self._awaited_until = 0.0  # the words of the last speech
        self._asks_at: float | None = None
        self._has_asked = False
        self._has_partial = False

    def session(self, at: float) -> None:
        """A session of speech to text is open."""
        self._opened = at
        self._unanswered_s = 0.0

    def message(self) -> None:
        """The session sent something, whatever it was."""
        self._opened = None
        self._unanswered_s = 0.0
        self._deaf_sessions = 0

    def speech(self, at: float, *, is_on: bool, is_answered: bool = False, ago_s: float = 0.0) -> None:
        """The caller started (True) or stopped (False) speaking at `at`.

        Args:
            is_answered: The agent speaks or is about to when the speech starts: without words it just goes on.
            ago_s: How long ago that was. Speech to text is asked for the words of speech when its end is reported.
        """
        if is_on:
            self._began, self._needs_words = at, not is_answered
            self._asks_at = None
            if not self._unanswered_s:
                self._first_unanswered = at
        elif self._began is not None:
            lasted = at - self._began
            self._began = None
            self._unanswered_s += lasted
            self._awaited_until = at + ago_s + self._patience_s
            if lasted >= SHORTEST_S and self._needs_words:
                self._asks_at = self._awaited_until

    def words(self, *, is_final: bool, in_turn: bool = True) -> None:
        """Words came: final ones, or partial ones. Those of the caller's turn may be lost, and then are asked for.

        Final words may come before the end of their speech is reported.
        """
        self._needs_words = self._needs_words and not is_final
        self._has_partial = in_turn and not is_final
        self._has_asked, self._attempts = False, 0
        self._asks_at = None

    def turn_was_empty(self, at: float) -> None:
        """The caller's turn ended without a final transcript."""
        if self._has_partial:
            self._has_partial = False
            self._asks_at = max(at, self._awaited_until)

    def turn_had_words(self) -> None:
        """The caller's turn ended with words: what answers them answers its sounds without words, too."""
        self._has_partial = False
        self.answered()

    def answered(self) -> None:
        """The agent speaks or is about to, which answers the caller's sound."""
        self._asks_at = None

    def asks_again(self, now: float) -> bool:
        """Whether the agent should ask the caller to say it again: once until words come."""
        if self._asks_at is None or now < self._asks_at:
            return False
        self._asks_at = None
        is_first, self._has_asked = not self._has_asked, True
        return is_first

    def deaf(self, now: float) -> Deaf | None:
        """Whether the session must be replaced; returned once for each session."""
        if self._opened is not None and now - self._opened >= GREETING_S:
            since, self._opened = self._opened, None
            self._deaf_sessions += 1
            return Deaf(now - since, self._deaf_sessions, is_proven=True)
        if self._unanswered_s >= min(UNANSWERED_S * 2**self._attempts, LONGEST_UNANSWERED_S):
            self._unanswered_s, self._attempts = 0.0, self._attempts + 1
            return Deaf(now - self._first_unanswered, 0, is_proven=False, moves=self._attempts > 1)
        return None
