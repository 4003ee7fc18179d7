"""One prejoined room, from the command to join it until its worker is gone or has a job."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, TypeAlias

from agent_runner.domain.call_events import Kill, Release
from agent_runner.domain.pulse import TWO_BEATS_S
from agent_runner.link.messages import Joined, Removed, Stopped, ToSupervisor
from contracts.deadlines import CLAIMED_ROOM_S, PREJOINED_LEASE_S, PREJOINED_RENEW_S, ROOM_KILL_S

USED: Final = "used"
"""The end of a room whose worker got the job."""

_HUNG: Final = "hung"
_AWAY: Final = "cut_off"


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
    ENDED = auto()
    """Its worker is gone or has the job."""


@dataclass(frozen=True, slots=True)
class RenewKey:
    """`renewed_key` answers."""

    revision: int


@dataclass(frozen=True, slots=True)
class DeleteKey:
    """`key_deleted` answers."""

    revision: int


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell the worker to leave the room."""


@dataclass(frozen=True, slots=True)
class Ended:
    """No job can get the worker from here."""

    end: str


RoomEffect: TypeAlias = RenewKey | DeleteKey | Leave | Kill | Ended | Release
RoomStep: TypeAlias = tuple["RoomState", tuple[RoomEffect, ...]]


@dataclass(frozen=True, slots=True)
class RoomKey:
    """The key that offers the room to a session. Instants are monotonic seconds.

    Attributes:
        exists: It exists, or its creation is in flight.
        revision: 0: not known.
        written: When it was last written, or earlier.
        renewing: When the renewal in flight began.
    """

    exists: bool = False
    revision: int = 0
    written: float = 0.0
    renewing: float | None = None

    def has_expired(self, now: float) -> bool:
        return now - self.written >= PREJOINED_LEASE_S

    def is_due(self, now: float) -> bool:
        """Whether to renew it now."""
        return self.renewing is None and now - self.written >= PREJOINED_RENEW_S

    def answered(self, revision: int | None) -> "RoomKey":
        """The bucket answered the renewal in flight; without a revision nothing was written."""
        if not revision:
            return replace(self, renewing=None)
        written = self.written if self.renewing is None else self.renewing
        return replace(self, revision=revision, written=written, renewing=None)


@dataclass(frozen=True, slots=True)
class RoomState:
    """One room. Each method takes one event and returns the next state, and the effects in order.

    Instants (`now`, too) are monotonic seconds.

    Attributes:
        max_age_s: Age at which the room is retired.
        pid: The worker's process; 0: no worker yet.
        silent_s: The worker's silence, without the supervisor's own pauses.
        expires: When the room reaches its age.
        claimed: When the key was found deleted.
        end: Why the room ended; while RETIRING, why it will.
        claimed_too: While RETIRING: end the room even if a session claims it first.
    """

    max_age_s: float
    phase: Phase = Phase.FILLING
    pid: int = 0
    has_joined: bool = False
    silent_s: float = 0.0
    key: RoomKey = field(default_factory=RoomKey)
    expires: float = 0.0
    claimed: float = 0.0
    end: str | None = None
    claimed_too: bool = False

    @property
    def has_ended(self) -> bool:
        return self.phase in (Phase.LEAVING, Phase.ENDED)

    def worker_came(self, pid: int) -> RoomStep:
        """The room has a worker, perhaps after its end."""
        return (self, (Kill(),)) if self.has_ended else (replace(self, pid=pid), ())

    def said(self, message: ToSupervisor) -> RoomStep:
        """The worker sent a message."""
        state = replace(self, silent_s=0.0)
        match message:
            case Joined() if not self.has_ended:
                return replace(state, has_joined=True), ()
            case Removed() | Stopped() if self.has_joined:
                return state._leave("removed")
            case _:
                return state, ()

    def died(self) -> RoomStep:
        """The worker's process has exited."""
        if self.phase is Phase.LEAVING:
            return replace(self, phase=Phase.ENDED), (Release(),)
        return self._end("died", *self._delete_key())

    def fill_failed(self, end: str) -> RoomStep:
        return self._leave(end)

    def offering(self, now: float) -> "RoomState":
        """The key is about to be created."""
        return replace(self, key=replace(self.key, exists=True, written=now), expires=now + self.max_age_s)

    def offered(self, revision: int) -> RoomStep:
        """The key was created, perhaps after the room's end."""
        if self.has_ended:
            return self, (DeleteKey(revision),)
        return replace(self, phase=Phase.WAITING, key=replace(self.key, revision=revision)), ()

    def renewed_key(self, revision: int | None, now: float) -> RoomStep:
        """`revision`: None if the key was gone; 0 if the bucket did not answer."""
        state = replace(self, key=self.key.answered(revision))
        if revision is None and self.phase is Phase.WAITING:
            return replace(state, phase=Phase.CLAIMED, claimed=now), ()
        return state, ()

    def key_deleted(self, now: float, *, by_us: bool) -> RoomStep:
        """`by_us`: False if a session claimed the room before; True also if the bucket did not answer."""
        if self.phase is not Phase.RETIRING:
            return self, ()
        if by_us or self.claimed_too:
            return self._leave(self.end or "aged")
        return replace(self, phase=Phase.CLAIMED, claimed=now, end=None), ()

    def job_came(self) -> RoomStep:
        """Give the worker to the job, unless it missed two beats: then a new worker starts the job sooner."""
        if self.phase is Phase.FILLING:
            return self, ()
        return self._leave(_HUNG) if self.silent_s >= TWO_BEATS_S else self._end(USED)

    def retire(self, end: str, *, claimed_too: bool = False) -> RoomStep:
        """End the room; one that a session has claimed only if `claimed_too`."""
        match self.phase:
            case Phase.WAITING:
                state = replace(self, phase=Phase.RETIRING, end=end, claimed_too=claimed_too)
                return state, (DeleteKey(self.key.revision),)
            case Phase.RETIRING:
                return replace(self, claimed_too=self.claimed_too or claimed_too), ()
            case Phase.CLAIMED if not claimed_too:
                return self, ()
            case _:
                return self._leave(end)

    def node_was_away(self) -> RoomStep:
        """The node was away for longer than its lease: a session that claimed the room got its agent elsewhere."""
        return self._leave(_AWAY)

    def looked(self, silence_s: float, now: float, *, silence_limit_s: float) -> RoomStep:
        """Time has passed, with so much silence of the worker; comes a few times a second."""
        state = replace(self, silent_s=self.silent_s + silence_s)
        is_hung = state.silent_s >= silence_limit_s
        match self.phase:
            case Phase.WAITING if is_hung or self.key.has_expired(now):
                return state._leave(_HUNG if is_hung else _AWAY)
            case Phase.WAITING if now >= self.expires:
                return state.retire("aged")
            case Phase.WAITING if self.key.is_due(now):
                return replace(state, key=replace(self.key, renewing=now)), (RenewKey(self.key.revision),)
            case Phase.CLAIMED if is_hung or now - self.claimed >= CLAIMED_ROOM_S:
                return state._leave(_HUNG if is_hung else "unused")
            case _:
                return state, ()

    def _leave(self, end: str) -> RoomStep:
        """End the room, once; its slot is free when the worker's process is gone.

        A worker that hangs, or whose node was away, is killed: another agent may have its identity by now. To leave in
        order it would first resume its connection, which removes that agent from the room.
        """
        if self.has_ended or not self.pid:
            return self._end(end)
        going: tuple[RoomEffect, ...] = (Kill(),) if end in (_HUNG, _AWAY) else (Leave(), Kill(ROOM_KILL_S))
        return replace(self, phase=Phase.LEAVING, end=end), (Ended(end), *self._delete_key(), *going)

    def _end(self, end: str, *effects: RoomEffect) -> RoomStep:
        if self.has_ended:
            return self, ()
        return replace(self, phase=Phase.ENDED, end=end), (Ended(end), *effects, Release())

    def _delete_key(self) -> tuple[RoomEffect, ...]:
        is_there = self.key.exists and self.phase in (Phase.FILLING, Phase.WAITING)
        return (DeleteKey(self.key.revision),) if is_there else ()


def room_to_evict(rooms: Mapping[str, RoomState], *, jobs: int, slots: int) -> str | None:
    """The room that must go because jobs and rooms exceed the slots: the oldest that no session has claimed."""
    staying = {session_id: room for session_id, room in rooms.items() if room.phase is not Phase.RETIRING}
    if jobs + len(staying) <= slots:
        return None
    return next((session_id for session_id, room in staying.items() if room.phase is Phase.WAITING), None)
