"""The life of a worker's job: idle, perhaps in a prejoined room, then in a call, then ending. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from contracts.causes import Cause

from agent_runner.domain import provider_health
from agent_runner.domain.link import (
    End,
    Ending,
    Failed,
    Faulty,
    Go,
    Prejoin,
    Recovered,
    Rejoin,
    Removed,
    Speak,
)
from agent_runner.domain.provider_health import Erred, Faulted, Lost, ProviderHealth, Sorry

_ROOM_GONE: Final = frozenset({"ROOM_DELETED", "ROOM_CLOSED"})


@dataclass(frozen=True, slots=True)
class Assigned:
    """The worker got its job, with the conversation so far as messages of the language model."""

    go: Go
    history: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SupervisorGone:
    """The link to the supervisor is closed."""


@dataclass(frozen=True, slots=True)
class JoinFailed:
    """The room could not be joined, or not joined again."""

    detail: str
    is_again: bool = False


@dataclass(frozen=True, slots=True)
class PutOutOfRoom:
    """LiveKit removed the agent, for LiveKit's own reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class RejoinExpired:
    """The supervisor did not answer `Removed` in time."""

    reason: str


@dataclass(frozen=True, slots=True)
class CallerIdle:
    """The caller was silent for USER_IDLE_END_S."""

    goodbye: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The pipeline ended, the agent is mute, or a task raised an exception."""

    detail: str


@dataclass(frozen=True, slots=True)
class AwaitRejoin:
    """Effect: feed `RejoinExpired` after REJOIN_ANSWER_S."""

    reason: str


@dataclass(frozen=True, slots=True)
class CancelLastWords:
    """Effect: cancel the last words."""


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


Command: TypeAlias = Prejoin | Assigned | Speak | End | Rejoin
Event: TypeAlias = (
    Command | SupervisorGone | JoinFailed | PutOutOfRoom | RejoinExpired | CallerIdle | Broken | provider_health.Event
)
Report: TypeAlias = Ending | Removed | Faulty | Recovered | Failed
Effect: TypeAlias = Prejoin | Assigned | Speak | Rejoin | Report | Sorry | AwaitRejoin | CancelLastWords | EndCall
"""A command among the effects is accepted and to be carried out; a report goes to the supervisor."""

Step: TypeAlias = tuple["JobState", tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class JobState:
    """Where a job stands.

    Attributes:
        has_room: The worker prejoined a room.
        has_job: The worker took its job.
        awaits_rejoin: LiveKit removed the agent, and the supervisor has not answered yet.
    """

    has_room: bool = False
    has_job: bool = False
    awaits_rejoin: bool = False
    is_ending: bool = False
    health: ProviderHealth = field(default_factory=ProviderHealth)

    @property
    def is_running(self) -> bool:
        """Whether the job is taken and not ending."""
        return self.has_job and not self.is_ending


def step(state: JobState, event: Event) -> Step:
    """Take one event; return the next state and the effects in order. The first cause to end stands."""
    match event:
        case Prejoin() | Assigned() | Speak() | End() | Rejoin():
            return _commanded(state, event)
        case SupervisorGone():
            ended, effects = _end(state, EndCall(Cause.ENDED, "the supervisor is gone"))
            return ended, (CancelLastWords(), *effects)
        case JoinFailed(detail, is_again):
            return _end(state, EndCall(Cause.REMOVED if is_again else Cause.JOIN_FAILED, detail))
        case PutOutOfRoom(reason):
            return _put_out(state, reason)
        case RejoinExpired(reason):
            return _end(state, EndCall(Cause.REMOVED, reason))
        case CallerIdle(goodbye):
            return _end(state, EndCall(Cause.USER_IDLE, say=goodbye))
        case Broken(detail):
            return _end(state, EndCall(Cause.FAILED, detail))
        case _:
            return _provider(state, event)


def _commanded(state: JobState, command: Command) -> Step:
    """Accept a command by returning it as an effect; ignore one that comes twice or too late."""
    match command:
        case End(how=how, text=text):
            ended, effects = _end(state, EndCall(Cause.ENDED, say=text if how == "say" else None))
            return ended, (CancelLastWords(), *effects) if how == "cancel" or state.is_ending else effects
        case Prejoin() if not (state.has_room or state.has_job or state.is_ending):
            return replace(state, has_room=True), (command,)
        case Assigned() if not (state.has_job or state.is_ending):
            return replace(state, has_job=True), (command,)
        case Speak() if not state.is_ending:
            return state, (command,)
        case Rejoin() if state.awaits_rejoin and state.is_running:
            return replace(state, awaits_rejoin=False), (command,)
        case _:
            return state, ()


def _put_out(state: JobState, reason: str) -> Step:
    if state.is_ending:
        return state, ()
    if reason in _ROOM_GONE:
        return _end(state, EndCall(Cause.ROOM_CLOSED, reason))
    report = Removed(duplicate=reason == "DUPLICATE_IDENTITY", reason=reason)
    return replace(state, awaits_rejoin=True), (report, AwaitRejoin(reason))


def _provider(state: JobState, event: provider_health.Event) -> Step:
    """Faults count from the job on; errors count while it runs."""
    if isinstance(event, Faulted) and not state.has_job:
        return state, ()
    if isinstance(event, Erred) and not state.is_running:
        return state, ()
    health, effects = provider_health.step(state.health, event)
    if not effects and health is state.health:
        return state, ()
    state = replace(state, health=health)
    done: tuple[Effect, ...] = ()
    for effect in effects:
        if isinstance(effect, Lost):
            cause = (
                EndCall(Cause.PROVIDER_FAILED, effect.provider)
                if effect.provider
                else EndCall(Cause.FAILED, effect.text)
            )
            state, more = _end(state, cause)
            done += more
        else:
            done += (effect,)
    return state, done


def _end(state: JobState, end: EndCall) -> Step:
    if state.is_ending:
        return state, ()
    return replace(state, is_ending=True), (Ending(), end)
