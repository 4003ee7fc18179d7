"""How long the caller has been silent, and which reaction is due."""

from typing import Final, Literal

THINKING_S: Final = 30.0
"""Longest wait for an answer, or for the last words of a turn, during which the caller's silence is not counted."""

WORDLESS_S: Final = 900.0
"""Sound without a word counts as a caller on hold for so long; after that it counts as silence, like an open line."""


class Quiet:
    """Measures the caller's silence: both sides are silent, no answer is pending, no tool runs, the line is quiet.

    A limit of 0 disables it. The agent's own "are you still there?" does not begin a new silence. Times are seconds of
    one clock.
    """

    def __init__(self, prompt_s: float, end_s: float) -> None:
        self._prompt_s = prompt_s
        self._end_s = end_s
        self._since: float | None = None
        self._has_begun = False  # the agent has said its first line
        self._speaking: set[Literal["caller", "agent"]] = set()
        self._thinking_until = 0.0
        self._turn_is_open = False
        self._has_prompted = False
        self._is_prompting = False
        self._is_echo = False  # the present sound may be
        self._worded: float | None = None

    def caller(self, at: float, *, is_speaking: bool, may_echo: bool = False) -> None:
        """The caller's line started or stopped making a sound of speech.

        Args:
            may_echo: It may be the agent's own: only words show that the caller is there.
        """
        if is_speaking:
            self._is_echo = may_echo
        if self._is_wordless(at):
            self._speaking.discard("caller")
            return
        begun = self._since
        self._note("caller", at, is_speaking)
        if self._is_echo:
            self._since = begun
        else:
            self._has_prompted = self._is_prompting = False

    def words(self, at: float) -> None:
        """The caller said or typed words. A transcript of the agent's own is none."""
        self._is_echo = False
        self._worded = at
        self._has_prompted = self._is_prompting = False
        self._later(at)

    def sound(self, at: float) -> None:
        """The caller's line was loud: music on hold, a child. The agent waits, and does not ask again for it."""
        if not self._is_wordless(at):
            self._later(at)

    def agent(self, at: float, *, is_speaking: bool) -> None:
        """The agent started or stopped speaking."""
        if is_speaking:
            self._thinking_until = 0.0
        begun = self._since
        self._has_begun = self._has_begun or not is_speaking
        self._note("agent", at, is_speaking)
        if self._is_prompting:
            self._since = begun
            self._is_prompting = is_speaking

    def turn_began(self) -> None:
        """The caller's turn is open. A sound that only pauses the agent opens none."""
        self._turn_is_open = True

    def turn_ended(self, at: float) -> None:
        """The caller's turn is complete and waits for its answer."""
        self._turn_is_open = False
        self.thinking(at)

    def thinking(self, at: float) -> None:
        """The caller waits: for an answer, or for a tool that still runs."""
        self._thinking_until = at + THINKING_S

    def unanswered(self) -> None:
        """The turn that ended had no words, so no answer follows."""
        self._thinking_until = 0.0

    @property
    def is_silent(self) -> bool:
        """Neither caller nor agent speaks."""
        return not self._speaking

    @property
    def is_free(self) -> bool:
        """Neither speaks, and the caller's turn is not open: a pause in it is the caller's."""
        return self.is_silent and not self._turn_is_open

    def is_between_turns(self, now: float) -> bool:
        """Neither speaks, the caller's turn is complete and answered, and the agent has said its first line."""
        return self.is_free and now >= self._thinking_until and self._has_begun

    def present(self, now: float) -> None:
        """The caller is in the room: from the first time on the agent's first line is waited for like an answer."""
        if self._since is None and not self._speaking:
            self._since = now
            self.thinking(now)

    def away(self, now: float) -> None:
        """The caller is out of the room: the silence counts from now on at the earliest."""
        self._since = now
        self._has_prompted = False

    def due(self, now: float) -> Literal["prompt", "end"] | None:
        """The reaction that is due now; each is returned once."""
        if "caller" in self._speaking and self._is_wordless(now):  # a sound without an end, such as an open line's
            self._speaking.discard("caller")
            self._later(now)
        if self._since is None or self._speaking or now < self._thinking_until:
            return None
        quiet_s = now - self._since
        if self._turn_is_open and quiet_s < THINKING_S:  # its words are in flight, so the caller is there
            return None
        if self._end_s and quiet_s >= self._end_s:
            return "end"
        if self._prompt_s and quiet_s >= self._prompt_s and not self._has_prompted:
            self._has_prompted = self._is_prompting = True
            return "prompt"
        return None

    def _is_wordless(self, at: float) -> bool:
        """Whether the caller has made sounds for too long without a word to count as one who waits."""
        if self._worded is None:
            self._worded = at
        return at - self._worded >= WORDLESS_S

    def _later(self, at: float) -> None:
        """The silence began at this time at the earliest."""
        if self._since is not None:
            self._since = max(self._since, at)

    def _note(self, who: Literal["caller", "agent"], at: float, is_speaking: bool) -> None:
        if is_speaking:
            self._speaking.add(who)
        else:
            self._speaking.discard(who)
            self._since = at
