"""One prejoined room, from the command to join it until its worker is gone or has a job: a state and its steps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from agent_runner.domain.pulse import TWO_BEATS_S
from agent_runner.link.messages import Joined, Removed, Stopped, ToSupervisor
from contracts.deadlines import PREJOINED_LEASE_S, PREJOINED_RENEW_S

CLAIM_S: Final = 60.0
"""How long a claimed room waits for its job: a start may queue for 30 s before it gets a node."""

LEAVE_S: Final = 2.0
"""From `End` to SIGKILL."""

USED: Final = "used"
"""The end of a room whose worker got the job."""

_HUNG: Final = "hung"
_CUT_OFF: Final = "cut_off"


class Phase(Enum):
    FILLING = auto()
    """It waits for a worker, for the worker to join, or for its key."""
    WAITING = auto()
    """Its key offers it to a session."""
    RETIRING = auto()
    """Its key is being deleted; unless a session claims it first, the worker leaves."""
    CLAIMED = auto()
    """A session deleted its key; the session's job is expected."""
    LEAVING = auto()
    """Its worker was told to leave, or was killed, and still holds the slot."""
    OVER = auto()
    """Its worker is gone or has the job."""


@dataclass(frozen=True, slots=True)
class RoomState:
    """One room; instants are monotonic seconds.

    Attributes:
        max_age_s: Age at which the room is retired.
        pid: The worker's process; 0: no worker yet.
        silent_s: The worker's silence, without the supervisor's own pauses.
        has_key: The key exists, or its creation is in flight.
        revision: The key's; 0: not known.
        expires: When the room reaches its age.
        renewed: When the key was last written, or earlier.
        renewing: When the renewal in flight began.
        claimed: When the key was found deleted.
        end: Why the room ended; while RETIRING, why it will.
        claimed_too: While RETIRING: end the room even if a session claims it first.
    """

    max_age_s: float
    phase: Phase = Phase.FILLING
    pid: int = 0
    has_joined: bool = False
    silent_s: float = 0.0
    has_key: bool = False
    revision: int = 0
    expires: float = 0.0
    renewed: float = 0.0
    renewing: float | None = None
    claimed: float = 0.0
    end: str | None = None
    claimed_too: bool = False


# --- events


@dataclass(frozen=True, slots=True)
class WorkerCame:
    pid: int


@dataclass(frozen=True, slots=True)
class Said:
    """The worker sent a message."""

    message: ToSupervisor


@dataclass(frozen=True, slots=True)
class Died:
    """The worker's process has exited."""


@dataclass(frozen=True, slots=True)
class FillFailed:
    end: str


@dataclass(frozen=True, slots=True)
class Offering:
    """The key is about to be created."""


@dataclass(frozen=True, slots=True)
class Offered:
    revision: int


@dataclass(frozen=True, slots=True)
class Renewed:
    """`revision`: None if the key was gone; 0 if the bucket did not answer."""

    revision: int | None


@dataclass(frozen=True, slots=True)
class KeyDeleted:
    """`by_us`: False if the key was gone, because a session claimed the room. True if the bucket did not answer."""

    by_us: bool


@dataclass(frozen=True, slots=True)
class JobCame:
    """The room's session has its job on this node."""


@dataclass(frozen=True, slots=True)
class Retire:
    """End the room; one that a session has claimed only if `claimed_too`."""

    end: str
    claimed_too: bool = False


@dataclass(frozen=True, slots=True)
class NodeWasAway:
    """The node was away for longer than its lease: a session that claimed the room got its agent elsewhere."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Time has passed, with so much silence of the worker; comes a few times a second."""

    silence_s: float


RoomEvent: TypeAlias = (
    WorkerCame
    | Said
    | Died
    | FillFailed
    | Offering
    | Offered
    | Renewed
    | KeyDeleted
    | JobCame
    | Retire
    | NodeWasAway
    | Looked
)


# --- effects


@dataclass(frozen=True, slots=True)
class RenewKey:
    """`Renewed` answers."""

    revision: int


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """`KeyDeleted` answers."""

    revision: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell the worker to leave the room."""


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL after so many seconds."""

    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Ended:
    """No job can get the worker from here."""

    end: str


@dataclass(frozen=True, slots=True)
class Release:
    """Release the slot."""


RoomEffect: TypeAlias = RenewKey | DeleteKey | Leave | Kill | Ended | Release
Next: TypeAlias = tuple[RoomState, tuple[RoomEffect, ...]]


def step(state: RoomState, event: RoomEvent, now: float, *, silence_limit_s: float) -> Next:
    """Decide the room's next state, and the effects in the order in which they are performed."""
    if state.phase in (Phase.LEAVING, Phase.OVER):
        return _step_after_end(state, event)
    match event:
        case WorkerCame():
            return replace(state, pid=event.pid), ()
        case Said():
            return _said(replace(state, silent_s=0.0), event.message)
        case Died():
            return _over(state, "died", *_delete_key(state))
        case FillFailed():
            return _leave(state, event.end)
        case Offering():
            return replace(state, has_key=True, expires=now + state.max_age_s, renewed=now), ()
        case Offered():
            return replace(state, phase=Phase.WAITING, revision=event.revision), ()
        case Renewed():
            return _renewed(state, event.revision, now)
        case KeyDeleted():
            return _key_deleted(state, now, by_us=event.by_us)
        case JobCame():
            return _job_came(state)
        case Retire():
            return _retire(state, event)
        case NodeWasAway():
            return _leave(state, _CUT_OFF)
        case Looked():
            return _looked(replace(state, silent_s=state.silent_s + event.silence_s), now, silence_limit_s)


def room_to_evict(rooms: Mapping[str, RoomState], *, jobs: int, slots: int) -> str | None:
    """The room that must go because jobs and rooms exceed the slots: the oldest that no session has claimed."""
    staying = {session_id: room for session_id, room in rooms.items() if room.phase is not Phase.RETIRING}
    if jobs + len(staying) <= slots:
        return None
    return next((session_id for session_id, room in staying.items() if room.phase is Phase.WAITING), None)


def _step_after_end(state: RoomState, event: RoomEvent) -> Next:
    match event:
        case Died() if state.phase is Phase.LEAVING:
            return replace(state, phase=Phase.OVER), (Release(),)
        case WorkerCame():  # the room ended while it waited for a worker
            return state, (Kill(),)
        case Offered():  # the room ended while its key was being created
            return state, (DeleteKey(event.revision),)
        case _:
            return state, ()


def _said(state: RoomState, message: ToSupervisor) -> Next:
    match message:
        case Joined():
            return replace(state, has_joined=True), ()
        case Removed() | Stopped() if state.has_joined:
            return _leave(state, "removed")
        case _:
            return state, ()


def _renewed(state: RoomState, revision: int | None, now: float) -> Next:
    began, state = state.renewing, replace(state, renewing=None)
    if revision:
        return replace(state, revision=revision, renewed=state.renewed if began is None else began), ()
    if revision is None and state.phase is Phase.WAITING:
        return replace(state, phase=Phase.CLAIMED, claimed=now), ()
    return state, ()


def _key_deleted(state: RoomState, now: float, *, by_us: bool) -> Next:
    if state.phase is not Phase.RETIRING:
        return state, ()
    if by_us or state.claimed_too:
        return _leave(state, state.end or "aged")
    return replace(state, phase=Phase.CLAIMED, claimed=now, end=None), ()


def _job_came(state: RoomState) -> Next:
    """Give the worker to the job, unless it missed two beats: then a new worker starts the job sooner."""
    if state.phase is Phase.FILLING:
        return state, ()
    return _leave(state, _HUNG) if state.silent_s >= TWO_BEATS_S else _over(state, USED)


def _retire(state: RoomState, event: Retire) -> Next:
    match state.phase:
        case Phase.WAITING:
            state = replace(state, phase=Phase.RETIRING, end=event.end, claimed_too=event.claimed_too)
            return state, (DeleteKey(state.revision),)
        case Phase.RETIRING:
            return replace(state, claimed_too=state.claimed_too or event.claimed_too), ()
        case Phase.CLAIMED if not event.claimed_too:
            return state, ()
        case _:
            return _leave(state, event.end)


def _looked(state: RoomState, now: float, silence_limit_s: float) -> Next:
    is_hung = state.silent_s >= silence_limit_s
    match state.phase:
        case Phase.WAITING if is_hung or now - state.renewed >= PREJOINED_LEASE_S:
            return _leave(state, _HUNG if is_hung else _CUT_OFF)
        case Phase.WAITING if now >= state.expires:
            return _retire(state, Retire("aged"))
        case Phase.WAITING if now - state.renewed >= PREJOINED_RENEW_S and state.renewing is None:
            return replace(state, renewing=now), (RenewKey(state.revision),)
        case Phase.CLAIMED if is_hung or now - state.claimed >= CLAIM_S:
            return _leave(state, _HUNG if is_hung else "unused")
        case _:
            return state, ()


def _leave(state: RoomState, end: str) -> Next:
    """End the room; its slot is free when the worker's process is gone.

    A worker that hangs, or whose node was away, is killed: another agent may have its identity by now. To leave in
    order it would first resume its connection, which removes that agent from the room.
    """
    if not state.pid:
        return _over(state, end)
    going: tuple[RoomEffect, ...] = (Kill(),) if end in (_HUNG, _CUT_OFF) else (Leave(), Kill(LEAVE_S))
    return replace(state, phase=Phase.LEAVING, end=end), (Ended(end), *_delete_key(state), *going)


def _over(state: RoomState, end: str, *effects: RoomEffect) -> Next:
    return replace(state, phase=Phase.OVER, end=end), (Ended(end), *effects, Release())


def _delete_key(state: RoomState) -> tuple[RoomEffect, ...]:
    is_there = state.has_key and state.phase in (Phase.FILLING, Phase.WAITING)
    return (DeleteKey(state.revision),) if is_there else ()
