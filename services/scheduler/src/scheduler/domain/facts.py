"""Facts about a session beside its log, folded into one value; a new leader learns them again."""

from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from contracts.events import Outcome

_STAYS: Final = 16  # ended stays of one caller that are remembered


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome and reason that `ended` will carry."""

    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one session. Times are on the log's clock, ms.

    Attributes:
        since_ms: When this leader began.
        slot: The key of the session's slot.
        asked_epoch: The last epoch whose `assign` this leader sent.
        counted_epoch: The last epoch whose failure counted against its node.
        refused_epoch: The last epoch whose `assign` a node refused or did not answer.
        verdict: Why the session ends, once its agent was told to stop; later reports do not change it.
        end_command: The last `end` that this leader sent.
        end_answer: The outcome of `end`.
        stop_sent_epoch: The last superseded epoch whose node was told to stop it.
        node_lost_ms: Since when the current epoch's node is lost; None: it is not.
        unlisted: The job that its live node does not list.
        caller_here: Whether LiveKit shows the caller in the room; None: unknown.
        caller_sid: LiveKit's id of the caller's present stay.
        caller_stays: LiveKit's ids of ended stays.
        caller_left_ms: When a caller who was there left.
        room_closed: LiveKit closed the room.
        room_deleted: The room was deleted, or its deletion was tried.
        measured: The session's billable time when the log was last read for it.
        blocked: Why no node could be chosen at the last try.
        refusal: Why the session may not queue.
        words_lost: No key opens its words.
    """

    since_ms: int = 0
    slot: int | None = None
    asked_epoch: int = 0
    counted_epoch: int = 0
    refused_epoch: int = 0
    verdict: Verdict | None = None
    end_command: "EndCommand | None" = None
    end_answer: "EndAnswer | None" = None
    stop_sent_epoch: int = 0
    node_lost_ms: int | None = None
    unlisted: "JobUnlisted | None" = None
    caller_here: bool | None = None
    caller_sid: str | None = None
    caller_stays: tuple[str, ...] = ()
    caller_left_ms: int | None = None
    room_closed: bool = False
    room_deleted: bool = False
    measured: "Measured | None" = None
    blocked: str | None = None
    refusal: str | None = None
    words_lost: bool = False


@dataclass(frozen=True, slots=True)
class EndCommand:
    """The command `end` of one epoch.

    Attributes:
        at_ms: When it was sent last.
        tries: How often it was sent.
        speaks: It allowed a last sentence, which was not cut.
    """

    epoch: int
    at_ms: int = 0
    tries: int = 1
    speaks: bool = False


@dataclass(frozen=True, slots=True)
class _OfEpoch:
    epoch: int


class Asked(_OfEpoch):
    """`assign` was sent."""


class AskLost(_OfEpoch):
    """The outcome of `assign` is unknown; the same command is sent again."""


class NodeRefused(_OfEpoch):
    """The node refused `assign`."""


class FailureCounted(_OfEpoch):
    """The epoch's failure counts against its node."""


class StopSent(_OfEpoch):
    """A superseded epoch's node was told to stop it."""


@dataclass(frozen=True, slots=True)
class EndSent:
    """`end` was sent; `speaks`: it allows a last sentence."""

    epoch: int
    at_ms: int
    verdict: Verdict
    speaks: bool


@dataclass(frozen=True, slots=True)
class EndAnswer:
    """How the node answered `end`.

    Attributes:
        epoch: The epoch that was to end.
        served_ms: That epoch's served time; None when the node did not answer, so that its last tick counts.
        fault_ms: The part of it that a provider's fault took.
    """

    epoch: int
    served_ms: int | None
    fault_ms: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """The log was read for the session's billable time."""

    billable_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class NodeLost:
    """The current epoch's node is lost since then; None: it is back."""

    at_ms: int | None


@dataclass(frozen=True, slots=True)
class JobUnlisted:
    """The live node omits this epoch's job from its list, since then."""

    epoch: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class JobListed:
    """The live node lists the current epoch's job."""


@dataclass(frozen=True, slots=True)
class SlotTaken:
    """The session owns this slot."""

    key: int


@dataclass(frozen=True, slots=True)
class SlotLost:
    """The session does not own this slot."""

    key: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """No node could be chosen; None: one could."""

    reason: str | None


@dataclass(frozen=True, slots=True)
class QueueRefused:
    """The session may not queue."""

    reason: str


@dataclass(frozen=True, slots=True)
class KeyLost:
    """No key opens the session's words."""


@dataclass(frozen=True, slots=True)
class RoomClosed:
    """LiveKit closed the room."""


@dataclass(frozen=True, slots=True)
class RoomDeleted:
    """The deletion of the room was sent; the reconciler repeats a failed one."""


@dataclass(frozen=True, slots=True)
class CallerJoined:
    """A webhook says that the caller's stay `sid` began."""

    sid: str | None


@dataclass(frozen=True, slots=True)
class CallerLeft:
    """A webhook says that the caller's stay `sid` ended; None: an unnamed stay."""

    sid: str | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class CallerSeen:
    """LiveKit's list of participants, read now, shows the caller's stay `sid`; None: no caller.

    Attributes:
        was_here: The caller was in the room at some time, by the log.
    """

    sid: str | None
    at_ms: int
    was_here: bool


Fact: TypeAlias = (
    Asked
    | AskLost
    | NodeRefused
    | FailureCounted
    | StopSent
    | EndSent
    | EndAnswer
    | Measured
    | NodeLost
    | JobUnlisted
    | JobListed
    | SlotTaken
    | SlotLost
    | Blocked
    | QueueRefused
    | KeyLost
    | RoomClosed
    | RoomDeleted
    | CallerJoined
    | CallerLeft
    | CallerSeen
)


def learn(facts: Facts, fact: Fact) -> Facts:
    """Fold one fact in; returns an equal value when it says nothing new."""
    match fact:
        case SlotTaken(key):
            return replace(facts, slot=key)
        case SlotLost(key):
            return replace(facts, slot=None) if facts.slot == key else facts
        case Asked(epoch):
            return replace(facts, asked_epoch=epoch)
        case AskLost(epoch):
            return replace(facts, asked_epoch=epoch - 1)
        case NodeRefused(epoch):
            return replace(facts, refused_epoch=epoch)
        case FailureCounted(epoch):
            return replace(facts, counted_epoch=epoch)
        case StopSent(epoch):
            return replace(facts, stop_sent_epoch=epoch)
        case EndSent():
            return _end_sent(facts, fact)
        case EndAnswer():
            return replace(facts, end_answer=fact)
        case Measured():
            return replace(facts, measured=fact)
        case NodeLost(at_ms):
            return replace(facts, node_lost_ms=at_ms)
        case JobUnlisted():
            return replace(facts, unlisted=fact)
        case JobListed():
            return replace(facts, unlisted=None)
        case Blocked(reason):
            return replace(facts, blocked=reason)
        case QueueRefused(reason):
            return replace(facts, refusal=reason)
        case KeyLost():
            return replace(facts, words_lost=True)
        case RoomClosed():
            return replace(facts, room_closed=True)
        case RoomDeleted():
            return replace(facts, room_deleted=True)
        case CallerJoined(sid):
            return _joined(facts, sid)
        case CallerLeft(sid, at_ms):
            return _left(facts, sid, at_ms)
        case CallerSeen():
            return _seen(facts, fact)


def _end_sent(facts: Facts, sent: EndSent) -> Facts:
    before = facts.end_command
    tries = 1 if before is None or before.epoch != sent.epoch else before.tries + 1
    command = EndCommand(sent.epoch, sent.at_ms, tries, speaks=sent.speaks)
    return replace(facts, end_command=command, verdict=sent.verdict)


def _joined(facts: Facts, sid: str | None) -> Facts:
    if sid in facts.caller_stays:
        return facts  # an old webhook, repeated: that stay has ended
    return replace(facts, caller_here=True, caller_sid=sid, caller_left_ms=None)


def _left(facts: Facts, sid: str | None, at_ms: int) -> Facts:
    if sid in facts.caller_stays:
        return facts
    stays = facts.caller_stays if sid is None else (*facts.caller_stays, sid)[-_STAYS:]
    if facts.caller_sid is not None and sid not in (facts.caller_sid, None):
        # A caller who came back has a new id; LiveKit may report that before the end of the old stay.
        return replace(facts, caller_stays=stays)
    if sid is None and facts.caller_left_ms is not None:
        at_ms = facts.caller_left_ms
    return replace(facts, caller_here=False, caller_left_ms=at_ms, caller_stays=stays)


def _seen(facts: Facts, seen: CallerSeen) -> Facts:
    if seen.sid in facts.caller_stays:
        return facts  # the list was read before that stay ended
    if seen.sid is not None:
        if facts.caller_here is True and facts.caller_left_ms is None:
            return facts
        return replace(facts, caller_here=True, caller_sid=seen.sid, caller_left_ms=None)
    was_here = facts.caller_here or seen.was_here
    left_ms = (facts.caller_left_ms or seen.at_ms) if was_here else facts.caller_left_ms
    return replace(facts, caller_here=False, caller_left_ms=left_ms)
