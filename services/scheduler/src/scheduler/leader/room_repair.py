"""Keeps LiveKit's rooms in step with the log: recreates lost rooms, deletes orphans, looks for the callers."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Final

from chassis import logs
from contracts.ids import caller_identity
from scheduler.domain import reconciling
from scheduler.domain.facts import CallerSeen, RoomClosed
from scheduler.domain.standing import Standing
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.leader.each import Rotation, each
from scheduler.leader.restorer import Restorer
from scheduler.ports import Room, Rooms, Unavailable

_PROBE_S: Final = 1.0  # so that a lost room is back within 2 s
_PROBED: Final = 10  # rooms in one probe; a restarted LiveKit has lost them all
_REPAIRS: Final = 200  # rooms created or deleted in one round; the next one goes on

log = logs.get_logger(__name__)


class RoomRepair:
    """The reconciler's part for rooms.

    Attributes:
        wanted: Set when a probe finds that LiveKit lost rooms or is back.

    Args:
        deployment: The rooms that name it are ours.
        is_prejoined: Whether a room of this name has an agent in it and waits for its session.
    """

    def __init__(
        self,
        conductor: Conductor,
        rooms: Rooms,
        restorer: Restorer,
        *,
        deployment: str,
        is_prejoined: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self.wanted = asyncio.Event()
        self._conductor = conductor
        self._roster = conductor.board.roster
        self._rooms = rooms
        self._restorer = restorer
        self._deployment = deployment
        self._is_prejoined = is_prejoined
        self._livekit_up = True
        self._probes, self._orphans = Rotation(_PROBED), Rotation(_REPAIRS)
        self._suspects: set[str] = set()

    async def probe(self) -> None:
        """Look for lost rooms each second, until cancelled."""
        while True:
            await asyncio.sleep(_PROBE_S)
            names = self._sample()
            if not names and self._livekit_up:
                continue
            try:
                rooms = await self._rooms.list(names)
            except Unavailable as error:
                self._livekit(False, str(error))
                continue
            missing = set(names) - {room.name for room in rooms}
            if not self._livekit_up or any(self._is_open(name) for name in missing):
                self._livekit(True, "")
                self.wanted.set()

    async def check(self) -> None:
        """Compare all rooms with the log once.

        Raises:
            Unavailable: NATS or LiveKit does not answer; the next round retries.
        """
        try:
            rooms = {room.name: room for room in await self._rooms.list()}
        except Unavailable as error:
            self._livekit(False, str(error))
            return
        self._livekit(True, "")
        lost = reconciling.lost_rooms(self._roster.open_sessions(), rooms, self._conductor.time.now_ms())
        await each(lost[:_REPAIRS], self._recreate)
        created = {name: room.created_ms for name, room in rooms.items()}
        suspects = reconciling.suspect_rooms(created, self._is_wanted, self._conductor.time.bus_ms())
        # Suspected twice: if LiveKit's clock is behind ours, a room looks older than it is.
        orphans = [name for name in suspects if name in self._suspects]
        self._suspects = set(suspects)
        await each(self._orphans.of(orphans), lambda name: self._delete_orphan(rooms[name]))
        await each([s.session_id for s in self._roster.open_sessions()], lambda sid: self._look_for_caller(sid, rooms))

    async def present(self, names: Sequence[str]) -> frozenset[str]:
        """The rooms of these names that LiveKit has.

        Raises:
            Unavailable: LiveKit does not answer.
        """
        return frozenset(room.name for room in await self._rooms.list(names)) if names else frozenset()

    async def room_finished(self, session_id: str) -> None:
        """Note that LiveKit closed a room, if LiveKit answers and the room is gone.

        A server that restarts reports this of all its rooms; those are recreated instead.
        """
        try:
            rooms = await self._rooms.list([session_id])
        except Unavailable:
            return
        if not rooms and self._is_open(session_id):
            self._conductor.learn(session_id, RoomClosed())

    def _sample(self) -> list[str]:
        """The next ten open sessions, in turn, whose room must exist."""
        now_ms = self._conductor.time.now_ms()
        return self._probes.of([s.session_id for s in self._roster.open_sessions() if reconciling.has_room(s, now_ms)])

    def _livekit(self, up: bool, reason: str) -> None:
        if up != self._livekit_up:
            (log.info if up else log.warning)("livekit.up" if up else "livekit.down", reason=reason)
        self._livekit_up = up
        figures.LIVEKIT.set(up)

    def _is_wanted(self, name: str) -> bool:
        return self._is_open(name) or self._is_prejoined(name)

    def _is_open(self, session_id: str) -> bool:
        session = self._roster.session(session_id)
        return session is not None and not session.has_ended

    async def _recreate(self, session_id: str) -> None:
        if not self._conductor.is_acting or not self._is_open(session_id):
            return
        log.warning("room.lost", session_id=session_id)
        await self._rooms.create(session_id)

    async def _delete_orphan(self, room: Room) -> None:
        """Delete a room whose session has ended, or one of our deployment that never got a session.

        A room of another or of no deployment is not an orphan only because our log does not know it.
        """
        ours = room.deployment == self._deployment
        match await self._restorer.standing(room.name, room.created_ms if ours else None):
            case Standing.ENDED:
                log.warning("room.orphan_deleted", session_id=room.name)
                await self._rooms.delete(room.name)
            case Standing.LOST if ours:
                self._restorer.report_loss(room.name, "room")
            case _:
                pass

    async def _look_for_caller(self, session_id: str, rooms: Collection[str]) -> None:
        """Find a caller who joined or left without a webhook."""
        session = self._roster.session(session_id)
        if session is None:
            return
        # One call for each room: the number of participants in the list of rooms lags by seconds.
        present = await self._rooms.identities(session_id) if session_id in rooms else {}
        sid, now_ms = present.get(caller_identity(session_id)), self._conductor.time.now_ms()
        self._conductor.learn(session_id, CallerSeen(sid, now_ms, was_here=session.started_ms is not None))
