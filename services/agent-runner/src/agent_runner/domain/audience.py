"""Who is in the agent's room: which participant is the caller, and when the caller can hear the agent. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

# Delay from LiveKit reporting a late caller's subscription to our first audio; in 16 trials none was lost even at 0.
_SUBSCRIBED_S: Final = 0.05
_PRESENT_S: Final = 0.3  # the same from LiveKit reporting the caller as present, if another participant came first


@dataclass(frozen=True, slots=True)
class CallerPresent:
    """Effect: the caller's media came up (True), or the caller left (False)."""

    in_room: bool


@dataclass(frozen=True, slots=True)
class CallerHears:
    """Effect: after so many seconds the caller can hear the agent."""

    after_s: float


AudienceEffect: TypeAlias = CallerPresent | CallerHears
AudienceStep: TypeAlias = tuple["Audience", tuple[AudienceEffect, ...]]


@dataclass(frozen=True, slots=True)
class Audience:
    """One attempt to join. Each method takes one event and returns the next state, and the effects in order.

    `others` are the other participants whom LiveKit has reported, in its order. It reports one who publishes nothing up
    to 3 s late, and as active up to 1 s late; a subscription or a track proves media, too.

    Attributes:
        caller: The caller's identity; empty: the first participant becomes the caller.
        is_ahead: The room is prejoined: it admits only the caller.
        in_room: The caller's media is up: with signalling alone the caller hears and says nothing.
        was_first: The caller was in the room before the agent.
        is_subscribed: A participant has subscribed to the agent's track. LiveKit reports only the first subscription.
        is_unattributed: That participant is not known, and no participant has left since.
        is_recorded: A hidden recorder was in the room at that time, and may have been the subscriber.
    """

    caller: str = ""
    is_ahead: bool = False
    in_room: bool = False
    was_first: bool = False
    is_subscribed: bool = False
    is_unattributed: bool = False
    is_recorded: bool = False

    def connected(self, others: Sequence[str]) -> AudienceStep:
        """The agent is in the room."""
        audience = self._adopting(others[0]) if others else self
        return replace(audience, was_first=audience.caller in others), ()

    def subscribed(self, others: Sequence[str], *, is_recorded: bool = False) -> AudienceStep:
        """A participant subscribed to the agent's track."""
        audience = replace(self, is_subscribed=True, is_unattributed=True, is_recorded=is_recorded)
        audience, came = audience._came(others, is_up=audience._is_alone(others))
        return audience, came + audience._heard(others, 0 if self.was_first else _SUBSCRIBED_S)

    def active(self, identity: str, others: Sequence[str]) -> AudienceStep:
        """LiveKit reports the participant's media as up."""
        return self._came(others, is_up=identity == self.caller)

    def arrived(self, identity: str, others: Sequence[str], *, is_active: bool) -> AudienceStep:
        """The participant joined, perhaps with media up already."""
        audience = self._adopting(identity)
        is_up = is_active or (audience.is_unattributed and audience._is_alone(others))
        return audience._came(others, is_up=is_up and identity == audience.caller)

    def published(self, identity: str, others: Sequence[str]) -> AudienceStep:
        """The agent was subscribed to a track of the participant."""
        audience = self._adopting(identity)
        return audience._came(others, is_up=identity == audience.caller)

    def left(self, identity: str) -> AudienceStep:
        """The participant left, and may have been the subscriber."""
        audience = replace(self, is_unattributed=False)
        return audience.disconnected() if identity == self.caller else (audience, ())

    def disconnected(self) -> AudienceStep:
        """The agent is out of the room."""
        return replace(self, in_room=False), (CallerPresent(False),) if self.in_room else ()

    def _adopting(self, identity: str) -> Self:
        """The first participant becomes the caller where none is configured."""
        return self if self.caller else replace(self, caller=identity)

    def _is_alone(self, others: Sequence[str]) -> bool:
        """Whether the caller is the only other participant, so that any subscription is the caller's."""
        return set(others) == {self.caller} and not self.is_recorded

    def _came(self, others: Sequence[str], *, is_up: bool) -> AudienceStep:
        if not is_up or self.in_room:
            return self, ()
        audience = replace(self, in_room=True, is_unattributed=False)
        return audience, (CallerPresent(True), *audience._heard(others, _PRESENT_S))

    def _heard(self, others: Sequence[str], after_s: float) -> tuple[AudienceEffect, ...]:
        """Whether the caller is the subscriber: present, or in a prejoined room not yet reported."""
        is_heard = self.is_subscribed and (self.in_room or (self.is_ahead and not others and not self.is_recorded))
        return (CallerHears(after_s),) if is_heard else ()
