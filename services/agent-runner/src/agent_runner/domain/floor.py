"""Who has the floor: what the caller's sound and words mean while the agent listens, thinks or speaks. Pure.

A sound pauses the agent, words that ask for the floor interrupt it, and a sound without words gives the floor back.
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Self, TypeAlias

from agent_runner.domain.caller_words import Backchannels
from agent_runner.domain.due import Due
from agent_runner.domain.echo import Echo, Judgement
from agent_runner.domain.hold import Hold, Pause, Resume

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


FloorEffect: TypeAlias = Pause | Resume | StartTurn | Ignore | TakeUp
FloorStep: TypeAlias = tuple["Floor", tuple[FloorEffect, ...]]


@dataclass(frozen=True, slots=True)
class Sound:
    """The caller's last sound.

    Attributes:
        is_on: It goes on.
        began: When, in seconds of the clock of `Floor`.
        overlaps: It began while the agent spoke: it may be the agent's echo.
        is_callers: It began after the agent's last word had died away, so it cannot be an echo.
        is_echo: Its last transcript is one, or may become one; else the caller said it.
    """

    is_on: bool = False
    began: float = -inf
    overlaps: bool = False
    is_callers: bool = False
    is_echo: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Words that become the caller's turn when the agent's speech ends.

    Attributes:
        said_at: When a backchannel was said: it counts only just before the end. None: the words were said during a
            protected line, and each is answered.
    """

    text: str
    said_at: float | None = None


@dataclass(frozen=True, slots=True)
class Floor:
    """One call's floor. Each method takes one event and returns the next state, and the effects in order.

    Times are seconds of one clock.

    Attributes:
        due: What the agent is about to say or waits for: it thinks, a tool runs.
        is_speaking: The agent speaks, or is paused in speaking.
        has_turn: The caller's turn is open: all further sound and words belong to it.
        has_words: That turn has final words, which will be answered.
        unsaid: Letters not yet heard of a line that the caller cannot interrupt; None: there is none.
        guarded_until: Until then a sound does not pause the agent; None: the caller has not heard the agent yet.
        deferred: Words that become the caller's turn when the agent's speech ends.
        asked_at: When the agent began to ask for words that had not come; -inf: it does not ask.
    """

    rules: Rules
    hold: Hold = field(default_factory=Hold)
    echo: Echo = field(default_factory=Echo)
    sound: Sound = field(default_factory=Sound)
    due: Due = field(default_factory=Due)
    is_speaking: bool = False
    has_turn: bool = False
    has_words: bool = False
    unsaid: int | None = None
    guarded_until: float | None = None
    deferred: Deferred | None = None
    asked_at: float = -inf

    @property
    def is_paused(self) -> bool:
        return self.hold.is_paused

    @property
    def is_protected(self) -> bool:
        """Whether the caller cannot interrupt what the agent is about to say or says."""
        return self.unsaid is not None

    @property
    def next_at(self) -> float | None:
        """When `passed` is due."""
        return self.hold.next_at

    def is_agents(self, now: float) -> bool:
        """Whether the agent speaks or is about to."""
        return self.is_speaking or self.due.is_open(now)

    def may_ask(self, now: float) -> bool:
        """Whether the agent may ask for words that did not come: no answer is given or due."""
        return not (self.is_agents(now) or self.has_words)

    def may_echo(self, at: float) -> bool:
        """Whether a sound that begins at this time may be the agent's own."""
        return self.is_speaking or self.echo.rings(at)

    def sound_began(self, now: float, ago_s: float) -> FloorStep:
        """The caller began to make a sound `ago_s` ago, speech or not."""
        began = now - ago_s
        is_callers = not self.may_echo(began)
        sound = Sound(is_on=True, began=began, overlaps=self.is_speaking, is_callers=is_callers)
        floor = replace(self, sound=sound)
        if self.has_turn:
            return floor, ()
        hold = self.hold.sound_began(began + self.rules.pause_after_s)
        if self.is_paused:
            return replace(floor, hold=hold), ()
        if not self.is_agents(now):
            return floor, (StartTurn(),)
        is_guarded = self.is_speaking and now < (self.guarded_until or 0)
        if self.is_protected or is_guarded or hold.is_exhausted:
            return floor, ()
        return replace(floor, hold=hold).passed(now)

    def sound_ended(self, now: float, ago_s: float) -> FloorStep:
        """The caller's sound ended `ago_s` ago."""
        hold = self.hold.sound_ended(now - ago_s, self.rules.resume_after_s)
        return replace(self, sound=replace(self.sound, is_on=False), hold=hold).passed(now)

    def passed(self, now: float) -> FloorStep:
        """Time passed."""
        hold, effects = self.hold.passed(now)
        return replace(self, hold=hold), effects

    def words(self, now: float, text: str, *, is_final: bool) -> FloorStep:
        """A transcript came, of the present sound or of an earlier one."""
        judged = _judged(self, now, text, is_final=is_final)
        if self.has_turn and not (judged == "echo" and _may_be_tail(self)):
            sound = replace(self.sound, is_echo=False)
            has_words = self.has_words or is_final
            return replace(self, has_words=has_words, hold=self.hold.words_came(), sound=sound), ()
        floor = replace(self, sound=replace(self.sound, is_echo=judged != "words"))
        if judged == "echo":
            return replace(floor, echo=self.echo.recognised()), (Ignore(),) if is_final else ()
        if judged == "early":
            return floor, (Ignore(),)
        if judged == "open":
            return floor, ()
        if self.is_agents(now):
            if self.is_protected:
                return (_deferring(floor, text), (Ignore(),)) if is_final else (floor, ())
            asks = self.rules.backchannels.asks_for_floor(text, self.rules.min_words, is_final=is_final)
            if not asks and not _is_asked_for(floor):
                if not is_final:
                    return floor, ()
                if _answers_nothing(floor, now):
                    return _backchannel(floor, now, text)
        return replace(floor, hold=self.hold.words_came()), (StartTurn(),)

    def turn_began(self) -> Self:
        """The caller's turn is open; what the agent said or prepared is interrupted."""
        unsaid = self.unsaid if self.is_speaking else None  # a line that was never heard protects no later one
        deferred = _owed(self.deferred)
        return replace(self.interrupted(), has_turn=True, has_words=False, deferred=deferred, unsaid=unsaid)

    def turn_ended(self, now: float) -> Self:
        """The caller's turn is complete. With words it is answered."""
        due = self.due.asked(now) if self.has_words else self.due
        return replace(self, has_turn=False, has_words=False, due=due)

    def turn_has_words(self) -> Self:
        """The open turn began with final words."""
        return replace(self, has_words=True, hold=self.hold.words_came())

    def agent_prepares(self, now: float, *, asks: bool = False) -> Self:
        """The agent is about to say a line by itself; `asks`: for words that did not come."""
        floor = replace(self, due=self.due.line(now))
        # A repetition of earlier words of the agent's is then the caller's: an echo would have come before.
        return replace(floor, asked_at=now, echo=self.echo.forgotten()) if asks else floor

    def agent_expects(self, now: float, due: Due) -> FloorStep:
        """What is due has changed."""
        floor = replace(self, due=due)
        return (floor, ()) if _answers_nothing(floor, now) else _taken_up(floor, now)

    def agent_began(self) -> Self:
        """The agent's speech begins: of whatever is due, or a line."""
        sound = replace(self.sound, is_callers=False)
        return replace(self, is_speaking=True, due=self.due.line_began(), sound=sound)

    def agent_said(self, now: float, text: str) -> Self:
        """The caller heard these words of the agent's."""
        guarded_until = now + self.rules.echo_guard_s if self.guarded_until is None else self.guarded_until
        unsaid, letters = self.unsaid, _letters(text)
        if unsaid is not None and letters:
            # A word is told at its start, so the protected line has ended when the word after it is told.
            unsaid = unsaid - letters if unsaid > 0 else None
        echo, due = self.echo.heard(text, now), self.due.goes_on(now, text)
        return replace(self, echo=echo, due=due, guarded_until=guarded_until, unsaid=unsaid)

    def agent_ended(self, now: float) -> FloorStep:
        """The agent's speech ended, by itself or interrupted."""
        return _taken_up(replace(self, is_speaking=False, unsaid=None, asked_at=-inf), now)

    def interrupted(self) -> Self:
        """The pipeline discarded what the agent was saying."""
        return replace(self, hold=self.hold.ended(), due=self.due.interrupted(), asked_at=-inf)

    def protected(self, line: str) -> Self:
        """The caller cannot interrupt this line, the agent's next."""
        return replace(self, unsaid=_letters(line))


def _deferring(floor: Floor, text: str) -> Floor:
    """Keep words for the end of a protected line."""
    owed = _owed(floor.deferred)
    return replace(floor, deferred=Deferred(f"{owed.text} {text}" if owed else text))


def _may_be_tail(floor: Floor) -> bool:
    """Whether the open turn has only a sound that began behind the agent's speech: it may be the end of its echo."""
    sound = floor.sound
    return not (floor.has_words or floor.is_speaking or sound.overlaps or sound.is_callers)


def _is_asked_for(floor: Floor) -> bool:
    """Whether the agent asks for the words of the caller's last sound."""
    return floor.sound.began < floor.asked_at


def _answers_nothing(floor: Floor, now: float) -> bool:
    """Whether a short "yes" answers nothing: the agent speaks or is about to, or nothing was asked before a tool."""
    return floor.is_speaking or (floor.due.is_open(now) and not floor.due.takes_replies(now))


def _backchannel(floor: Floor, now: float, text: str) -> FloorStep:
    hold = floor.hold.words_came()
    floor = replace(floor, deferred=_owed(floor.deferred) or Deferred(text, now), hold=hold)
    if not hold.is_paused or floor.sound.is_on:
        return floor, (Ignore(backchannel=True),)
    return replace(floor, hold=hold.ended()), (Ignore(backchannel=True), Resume())


def _taken_up(floor: Floor, now: float) -> FloorStep:
    """The agent is silent: take up what was said into its line, or at the end of all that was due."""
    deferred = floor.deferred
    if deferred is None:
        return floor, ()
    at = deferred.said_at
    if at is not None and (floor.has_turn or _answers_nothing(floor, now) or now - at >= _AT_ITS_END_S):
        return floor, ()
    return replace(floor, deferred=None), (TakeUp(deferred.text),)


def _owed(deferred: Deferred | None) -> Deferred | None:
    """The words said during a protected line: each is answered."""
    return deferred if deferred is not None and deferred.said_at is None else None


def _judged(floor: Floor, now: float, text: str, *, is_final: bool) -> Judgement:
    """Whether a transcript is the agent's echo, which may come after the agent's end; not of a sound after that."""
    if floor.sound.is_callers:
        return "words"
    may_echo = floor.sound.overlaps or floor.is_speaking
    return floor.echo.judge(text, now, is_final=is_final, is_agents=may_echo, early=_early(floor, now))


def _early(floor: Floor, now: float) -> float | None:
    """When the sound of a transcript that comes now began; None: not in the agent's guarded first moments.

    A sound that the VAD has not heard counts as one that began with the agent's first word.
    """
    if floor.guarded_until is None or now >= floor.guarded_until + _LATE_S:
        return None
    began = max(floor.sound.began, floor.guarded_until - floor.rules.echo_guard_s)
    return began if began < floor.guarded_until else None


def _letters(text: str) -> int:
    """Letters and digits: the voice's words are not always those that spaces separate."""
    return sum(map(str.isalnum, text))
