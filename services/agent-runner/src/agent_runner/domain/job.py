"""The life of a worker's job: idle, perhaps in a prejoined room, then in a call, then ending. Pure."""

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from agent_runner.domain import provider_health
from agent_runner.domain.lines import Lines
from agent_runner.domain.provider_health import ProviderHealth
from agent_runner.domain.speakable import speakable
from agent_runner.link.messages import End, Ending, Go, Prejoin, Provider, Rejoin, Removed, Speak, Unanswered
from contracts.causes import Cause
from contracts.deadlines import LAST_WORDS_S, OWN_LAST_WORDS_S
from contracts.lines import lines_in

_AGENTS_OWN: Final = frozenset({Cause.AGENT_ENDED, Cause.USER_IDLE})
_ROOM_GONE: Final = frozenset({"ROOM_DELETED", "ROOM_CLOSED"})


@dataclass(frozen=True, slots=True)
class Assigned:
    """The job, with the conversation so far as messages of the language model, and what the agent says by itself."""

    go: Go
    history: tuple[dict[str, str], ...] = ()
    lines: Lines = field(default_factory=lambda: lines_in(None))


@dataclass(frozen=True, slots=True)
class Say:
    """Effect: say this now."""

    text: str


@dataclass(frozen=True, slots=True)
class AwaitRejoin:
    """Effect: end the call as removed if the supervisor does not answer in REJOIN_ANSWER_S."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelLastWords:
    """Effect: leave at once."""


@dataclass(frozen=True, slots=True)
class EndCall:
    """Effect: say the last words, leave the room, stop.

    Attributes:
        say: The last words; None: the apology after a provider failure, else none.
    """

    cause: Cause
    detail: str = ""
    say: str | None = None

    @property
    def with_apology(self) -> bool:
        """Whether the last words are the apology."""
        return self.cause is Cause.PROVIDER_FAILED

    @property
    def words_s(self) -> float:
        """The longest that the last words may take; no service waits for those of an end that the agent decides."""
        return OWN_LAST_WORDS_S if self.cause in _AGENTS_OWN else LAST_WORDS_S


Command: TypeAlias = Prejoin | Assigned | Speak | End | Rejoin
JobMessage: TypeAlias = Ending | Removed | provider_health.ProviderMessage
JobEffect: TypeAlias = Prejoin | Assigned | Speak | Rejoin | JobMessage | Say | AwaitRejoin | CancelLastWords | EndCall
"""A command among the effects is accepted and to be performed; a message goes to the supervisor."""

JobStep: TypeAlias = tuple["JobState", tuple[JobEffect, ...]]


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands. Each method takes one event and returns the next state, and the effects in order.

    Attributes:
        has_room: The worker prejoined a room.
        has_job: The worker took its job.
        awaits_rejoin: LiveKit removed the agent, and the supervisor has not answered yet.
    """

    has_room: bool = False
    has_job: bool = False
    awaits_rejoin: bool = False
    is_ending: bool = False
    lines: Lines = field(default_factory=lambda: lines_in(None))
    health: ProviderHealth = field(default_factory=ProviderHealth)

    @property
    def is_running(self) -> bool:
        """Whether the job is taken and not ending."""
        return self.has_job and not self.is_ending

    def commanded(self, command: Command) -> JobStep:
        """The supervisor sent a command. One that comes twice or too late has no effect."""
        match command:
            case End(how=how, text=text):
                state, effects = self.ended(
                    EndCall(Cause.ENDED, say=speakable(text) if text and how == "say" else None)
                )
                return state, (CancelLastWords(), *effects) if how == "cancel" or self.is_ending else effects
            case Prejoin() if not (self.has_room or self.has_job or self.is_ending):
                return replace(self, has_room=True), (command,)
            case Assigned() if not (self.has_job or self.is_ending):
                return replace(self, has_job=True, lines=command.lines), (command,)
            case Speak() if not self.is_ending:
                return self, (command,)
            case Rejoin() if self.awaits_rejoin and self.is_running:
                return replace(self, awaits_rejoin=False), (command,)
            case _:
                return self, ()

    def ended(self, end: EndCall) -> JobStep:
        """Something ends the call. The first cause stands."""
        return (self, ()) if self.is_ending else (replace(self, is_ending=True), (Ending(words_s=end.words_s), end))

    def supervisor_gone(self) -> JobStep:
        state, effects = self.ended(EndCall(Cause.ENDED, "the supervisor is gone"))
        return state, (CancelLastWords(), *effects)

    def removed(self, reason: str) -> JobStep:
        """LiveKit removed the agent from the room, for LiveKit's own reason."""
        if self.is_ending:
            return self, ()
        if reason in _ROOM_GONE:
            return self.ended(EndCall(Cause.ROOM_CLOSED, reason))
        report = Removed(duplicate=reason == "DUPLICATE_IDENTITY", reason=reason)
        return replace(self, awaits_rejoin=True), (report, AwaitRejoin(reason))

    def worked(self, provider: Provider) -> JobStep:
        """As in `ProviderHealth`, which also explains the next three methods."""
        return self._with(*self.health.worked(provider))

    def reconnected(self, provider: Provider) -> JobStep:
        return self._with(*self.health.reconnected(provider))

    def faulted(self, provider: Provider, ago_s: float = 0.0) -> JobStep:
        return self._with(*self.health.faulted(provider, ago_s)) if self.has_job else (self, ())

    def erred(
        self,
        provider: Provider | None,
        text: str,
        *,
        is_unusable: bool,
        has_broken_off: bool = False,
        name: str = "",
        ms: int = 0,
    ) -> JobStep:
        """As in `ProviderHealth`."""
        if not self.is_running:
            return self, ()
        step, consequence = self.health.erred(
            provider, text, is_unusable=is_unusable, name=name, has_broken_off=has_broken_off, ms=ms
        )
        state, effects = self._with(*step)
        if consequence == "apologise":
            return state, (*effects, Say(self.lines.broke_off if has_broken_off else self.lines.sorry))
        if consequence == "end":
            end = EndCall(Cause.PROVIDER_FAILED, provider) if provider else EndCall(Cause.FAILED, text)
            state, more = state.ended(end)
            return state, (*effects, *more)
        return state, effects

    def lost(self, ms: int) -> JobStep:
        """The voice failed to speak an utterance, `ms` after the request for it; the call goes on."""
        if not self.is_running:
            return self, ()
        return self, (Unanswered(provider="tts", ms=ms, name="no audio"), Say(self.lines.sorry))

    def _with(self, health: ProviderHealth, effects: tuple[JobEffect, ...]) -> JobStep:
        return (self if health is self.health else replace(self, health=health)), effects
