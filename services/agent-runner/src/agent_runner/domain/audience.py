"""Who is in the agent's room: which participant is the caller, and when the caller can hear the agent. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

# Delay from LiveKit reporting a late caller's subscription to our first audio; in 16 trials none was lost even at 0.
_SUBSCRIBED_S: Final = 0.05
_PRESENT_S: Final = 0.3  # the same from LiveKit reporting the caller as present, if another participant came first


@dataclass(frozen=True, slots=True)
class Connected:
    """The agent is in the room."""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A participant subscribed to the agent's track."""


@dataclass(frozen=True, slots=True)
class Active:
    """LiveKit reports the participant's media as up."""

    identity: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """The participant joined, perhaps with media up already."""

    identity: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Published:
    """The agent was subscribed to a track of the participant."""

    identity: str


@dataclass(frozen=True, slots=True)
class Left:
    """The participant left."""

    identity: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The agent is out of the room."""


@dataclass(frozen=True, slots=True)
class CallerPresent:
    """Effect: the caller's media came up (True), or the caller left (False)."""

    in_room: bool


@dataclass(frozen=True, slots=True)
class Speak:
    """Effect: after so many seconds the caller can hear the agent."""

    after_s: float


Event: TypeAlias = Connected | Subscribed | Active | Arrived | Published | Left | Disconnected
Effect: TypeAlias = CallerPresent | Speak
Step: TypeAlias = tuple["Audience", tuple[Effect, ...]]


@dataclass(frozen=True, slots=True)
class Audience:
    """One attempt to join.

    Attributes:
        caller: The caller's identity; empty: the first participant becomes the caller.
        is_ahead: The room is prejoined: it admits only the caller.
        in_room: The caller's media is up: with signalling alone the caller hears and says nothing.
        was_first: The caller was in the room before the agent.
        is_subscribed: A participant has subscribed to the agent's track.
    """

    caller: str = ""
    is_ahead: bool = False
    in_room: bool = False
    was_first: bool = False
    is_subscribed: bool = False


def step(audience: Audience, event: Event, others: Sequence[str]) -> Step:
    """Take one event; return the next state and the effects in order.

    Args:
        others: The identities of the other participants whom LiveKit has reported, in its order. It reports one who
            publishes nothing up to 3 s late, and as ACTIVE up to 1 s late; a subscription or a track proves media, too.
    """
    match event:
        case Connected():
            audience = _adopting(audience, *others[:1])
            return replace(audience, was_first=audience.caller in others), ()
        case Subscribed():
            audience, came = _came(replace(audience, is_subscribed=True), others, is_up=_is_alone(audience, others))
            return audience, came + _heard(audience, others, 0 if audience.was_first else _SUBSCRIBED_S)
        case Active(identity):
            return _came(audience, others, is_up=identity == audience.caller)
        case Arrived(identity, is_active):
            audience = _adopting(audience, identity)
            is_up = is_active or (audience.is_subscribed and _is_alone(audience, others))
            return _came(audience, others, is_up=is_up and identity == audience.caller)
        case Published(identity):
            audience = _adopting(audience, identity)
            return _came(audience, others, is_up=identity == audience.caller)
        case Left(identity) if identity != audience.caller:
            return audience, ()
        case Left() | Disconnected():
            return replace(audience, in_room=False), (CallerPresent(False),) if audience.in_room else ()


def _adopting(audience: Audience, *identities: str) -> Audience:
    """The first participant becomes the caller where none is configured."""
    return replace(audience, caller=identities[0]) if identities and not audience.caller else audience


def _is_alone(audience: Audience, others: Sequence[str]) -> bool:
    """Whether the caller is the only other participant, so that any subscription is the caller's."""
    return set(others) == {audience.caller}


def _came(audience: Audience, others: Sequence[str], *, is_up: bool) -> Step:
    if not is_up or audience.in_room:
        return audience, ()
    audience = replace(audience, in_room=True)
    return audience, (CallerPresent(True), *_heard(audience, others, _PRESENT_S))


def _heard(audience: Audience, others: Sequence[str], after_s: float) -> tuple[Effect, ...]:
    """Whether the caller is the subscriber: present, or in a prejoined room not yet reported."""
    is_heard = audience.is_subscribed and (audience.in_room or (audience.is_ahead and not others))
    return (Speak(after_s),) if is_heard else ()
