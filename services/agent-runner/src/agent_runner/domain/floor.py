"""Who has the floor: what the caller's sound and words mean while the agent listens, thinks or speaks. Pure.

A sound pauses the agent, words that ask for the floor interrupt it, and a sound without words gives the floor back.
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Self, TypeAlias

from agent_runner.domain.caller_words import Backchannels
from agent_runner.domain.echo import Echo

LONGEST_SOUND_S: Final = 2.0
"""A sound without words pauses the agent for so long; the agent then speaks beside it."""

MOST_WORDLESS: Final = 2
"""Pauses in a row that brought no words, after which only words stop the agent: an echo, a song or a cold."""

BUSY_S: Final = 30.0
"""Longest wait for an answer; then a sound begins the caller's turn as if the agent had nothing to say."""

_LATE_S: Final = 3.0  # the recogniser's words for a sound of the guarded time come until then, after that time

_AT_ITS_END_S: Final = 1.5  # "yes" so shortly before the agent's last word answers what the agent said


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of one call.

    Attributes:
        pause_after_s: Seconds of the caller's sound until the agent pauses.
        resume_after_s: Seconds from the end of a sound without words until the agent goes on.
        min_words: Words beyond backchannels that interrupt the agent.
        echo_guard_s: Seconds from the agent's first word in which a sound does not pause it.
    """

    pause_after_s: float = 0.2
    resume_after_s: float = 0.8
    min_words: int = 1
    echo_guard_s: float = 1.0
    backchannels: Backchannels = field(default_factory=lambda: Backchannels.of("en", {}))


@dataclass(frozen=True, slots=True)
class Pause:
    """Effect: hold the agent's audio; discard nothing."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Effect: the agent goes on where it paused."""


@dataclass(frozen=True, slots=True)
class StartTurn:
    """Effect: the caller's turn begins, and interrupts what the agent says or is about to say."""


@dataclass(frozen=True, slots=True)
class Ignore:
    """Effect: the final transcript does not belong to the caller's next turn.

    Attributes:
        backchannel: The caller said it to show that it listens; else it is an echo, or kept for later.
    """

    backchannel: bool = False


@dataclass(frozen=True, slots=True)
class TakeUp:
    """Effect: treat these words as if the caller said them now."""

    text: str


Effect: TypeAlias = Pause | Resume | StartTurn | Ignore | TakeUp
Step: TypeAlias = tuple["Floor", tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Hold:
    """A pause of the agent, pending or in effect.

    Attributes:
        due: When the agent pauses, if the sound goes on.
        since: When it paused; None: it is not paused.
        until: When it goes on.
    """

    due: float | None = None
    since: float | None = None
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class Floor:
    """One call's floor. Each method takes one event and returns the next state, and the effects in order.

    Times are seconds of one clock.

    Attributes:
        is_speaking: The agent speaks, or is paused in speaking.
        busy_until: The agent prepares to speak (it thinks, a tool runs) until then at the longest.
        has_turn: The caller's turn is open: all further sound and words belong to it.
        has_words: Of that turn.
        unsaid: Letters not yet heard of a line that the caller cannot interrupt; None: there is none.
        is_sounding: The caller makes a sound.
        sound_at: When the caller's last sound began.
        overlaps: The caller's last sound began while the agent spoke: it may be the agent's echo.
        wordless: Pauses in a row that brought no words.
        guarded_until: Until then a sound does not pause the agent; None: the caller has not heard the agent yet.
        kept: Words for the end of the agent's speech, with the time of the last: None if they wait for any end.
    """

    rules: Rules
    hold: Hold = field(default_factory=lambda: Hold())
    echo: Echo = field(default_factory=Echo)
    is_speaking: bool = False
    busy_until: float = 0.0
    has_turn: bool = False
    has_words: bool = False
    unsaid: int | None = None
    is_sounding: bool = False
    sound_at: float = -inf
    overlaps: bool = False
    wordless: int = 0
    guarded_until: float | None = None
    kept: tuple[str, float | None] | None = None

    @property
    def is_paused(self) -> bool:
        return self.hold.since is not None

    @property
    def is_protected(self) -> bool:
        """Whether the caller cannot interrupt what the agent is about to say or says."""
        return self.unsaid is not None

    @property
    def next_at(self) -> float | None:
        """When `passed` is due."""
        return self.hold.until if self.is_paused else self.hold.due

    def is_agents(self, now: float) -> bool:
        """Whether the agent speaks or is about to."""
        return self.is_speaking or now < self.busy_until

    def sound_began(self, now: float, ago_s: float) -> Step:
        """The caller began to make a sound `ago_s` ago, speech or not."""
        floor = replace(self, is_sounding=True, sound_at=now - ago_s, overlaps=self.is_speaking)
        if self.has_turn:
            return floor, ()
        if self.is_paused:
            return floor._holding(until=max(self.hold.until, (self.hold.since or now) + LONGEST_SOUND_S)), ()
        if not self.is_agents(now):
            return floor, (StartTurn(),)
        is_guarded = self.is_speaking and now < (self.guarded_until or 0)
        if self.is_protected or is_guarded or self.wordless >= MOST_WORDLESS:
            return floor, ()
        return replace(floor, hold=Hold(due=now - ago_s + self.rules.pause_after_s)).passed(now)

    def sound_ended(self, now: float, ago_s: float) -> Step:
        """The caller's sound ended `ago_s` ago."""
        floor = replace(self, is_sounding=False)
        if self.is_paused:
            # A row of short sounds does not prolong the pause for ever.
            longest = (self.hold.since or now) + LONGEST_SOUND_S + self.rules.resume_after_s
            return floor._holding(until=min(now - ago_s + self.rules.resume_after_s, longest)).passed(now)
        return replace(floor, hold=Hold()), ()

    def passed(self, now: float) -> Step:
        """Time passed."""
        hold = self.hold
        if self.is_paused and now >= hold.until:
            return replace(self, hold=Hold(), wordless=self.wordless + 1), (Resume(),)
        if hold.due is not None and now >= hold.due:
            return replace(self, hold=Hold(since=now, until=now + LONGEST_SOUND_S)), (Pause(),)
        return self, ()

    def words(self, now: float, text: str, *, is_final: bool) -> Step:
        """A transcript came, of the present sound or of an earlier one."""
        if self.has_turn:
            return replace(self, has_words=True, wordless=0), ()
        may_echo = self.overlaps or self.is_agents(now)  # a transcript may come after the agent's end
        judged = self.echo.judge(text, now, is_final=is_final, is_agents=may_echo, early=_early(self, now))
        if judged == "echo":
            return replace(self, echo=self.echo.recognised()), (Ignore(),) if is_final else ()
        if judged == "early":
            return self, (Ignore(),)
        if judged == "open":
            return self, ()
        if self.is_agents(now):
            if self.is_protected:
                return (self._keeping(text), (Ignore(),)) if is_final else (self, ())
            if not self.rules.backchannels.asks_for_floor(text, self.rules.min_words, is_final=is_final):
                return self._backchannel(now, text) if is_final else (self, ())
        return self, (StartTurn(),)

    def turn_began(self) -> Self:
        """The caller's turn is open; what the agent said or prepared is interrupted."""
        return replace(self, has_turn=True, has_words=False, hold=Hold(), busy_until=0.0, kept=_owed(self.kept))

    def turn_ended(self, now: float) -> Self:
        """The caller's turn is complete. With words it is answered."""
        busy_until = now + BUSY_S if self.has_words else self.busy_until
        return replace(self, has_turn=False, has_words=False, busy_until=busy_until)

    def turn_has_words(self) -> Self:
        """The open turn began with words."""
        return replace(self, has_words=True, wordless=0)

    def agent_prepares(self, now: float) -> Self:
        """The agent is about to speak: a line unasked, a tool's result."""
        return replace(self, busy_until=now + BUSY_S)

    def agent_began(self) -> Self:
        """The agent's speech begins."""
        return replace(self, is_speaking=True, busy_until=0.0)

    def agent_said(self, now: float, text: str) -> Self:
        """The caller heard these words of the agent's."""
        guarded_until = now + self.rules.echo_guard_s if self.guarded_until is None else self.guarded_until
        unsaid, letters = self.unsaid, _letters(text)
        if unsaid is not None and letters:
            # A word is told at its start, so the protected line has ended when the word after it is told.
            unsaid = unsaid - letters if unsaid > 0 else None
        return replace(self, echo=self.echo.heard(text, now), guarded_until=guarded_until, unsaid=unsaid)

    def agent_ended(self, now: float) -> Step:
        """The agent's speech ended, by itself or interrupted."""
        floor = replace(self, is_speaking=False, unsaid=None, kept=None)
        if self.kept is None or (self.has_turn and not _owed(self.kept)):
            return floor, ()
        text, at = self.kept
        answers = at is None or (now - at < _AT_ITS_END_S and now >= self.busy_until)
        return floor, (TakeUp(text),) if answers else ()

    def interrupted(self) -> Self:
        """The pipeline discarded what the agent was saying."""
        return replace(self, hold=Hold(), busy_until=0.0)

    def protected(self, line: str) -> Self:
        """The caller cannot interrupt this line, the agent's next."""
        return replace(self, unsaid=_letters(line))

    def _holding(self, *, until: float) -> Self:
        return replace(self, hold=replace(self.hold, until=until))

    def _keeping(self, text: str) -> Self:
        kept = f"{self.kept[0]} {text}" if self.kept else text
        return replace(self, kept=(kept, None))

    def _backchannel(self, now: float, text: str) -> Step:
        floor = replace(self, kept=_owed(self.kept) or (text, now), wordless=0)
        if not self.is_paused or self.is_sounding:
            return floor, (Ignore(backchannel=True),)
        return replace(floor, hold=Hold()), (Ignore(backchannel=True), Resume())


def _owed(kept: tuple[str, float | None] | None) -> tuple[str, None] | None:
    """The words said during a protected line: each is answered."""
    return (kept[0], None) if kept and kept[1] is None else None


def _early(floor: Floor, now: float) -> float | None:
    """When the sound of a transcript that comes now began; None: not in the agent's guarded first moments.

    A sound that the VAD has not heard counts as one that began with the agent's first word.
    """
    if floor.guarded_until is None or now >= floor.guarded_until + _LATE_S:
        return None
    began = max(floor.sound_at, floor.guarded_until - floor.rules.echo_guard_s)
    return began if began < floor.guarded_until else None


def _letters(text: str) -> int:
    """Letters and digits: the voice's words are not always those that spaces separate."""
    return sum(map(str.isalnum, text))
