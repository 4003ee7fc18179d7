"""Every 15 s: compares LiveKit's rooms, the slots and the nodes' jobs with the log, and repairs what differs.

Webhooks and watches only make things faster; what is right is found here, too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Final

from contracts.ids import caller_identity

from chassis import logs
from scheduler.domain import reconciling
from scheduler.domain.session import Session
from scheduler.domain.standing import Standing, standing
from scheduler.leader import figures
from scheduler.leader.conductor import Conductor
from scheduler.leader.restorer import Restorer
from scheduler.ports import HeldSlot, Nodes, Room, Rooms, SessionLog, Slots, Unavailable

_PROBE_S: Final = 1.0  # a lost room is back within 2 s
_PROBED: Final = 10  # rooms a probe asks for; a restarted LiveKit has lost them all
_AT_ONCE: Final = 8  # calls to LiveKit
_REPAIRS: Final = 200  # rooms deleted or made in one round; the next goes on
_SLOT_MARGIN_MS: Final = 60_000
_OUTLIVED_MARGIN_MS: Final = 15 * 60_000  # beside the longest session: the start, callers who come late and come back

log = logs.get_logger(__name__)


class Reconciler:
    """Repairs; each part fails alone, and the next round repeats it."""

    def __init__(
        self,
        conductor: Conductor,
        session_log: SessionLog,
        slots: Slots,
        nodes: Nodes,
        rooms: Rooms,
        every_s: float,
        deployment: str,
        restorer: Restorer,
        *,
        is_ahead: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        """Take the parts.

        Args:
            every_s: Seconds between two rounds.
            deployment: The rooms that name it are ours.
            is_ahead: Whether a room of this name has an agent in it and waits for its session.
        """
        self._conductor = conductor
        self._board = conductor.board
        self._log = session_log
        self._slots = slots
        self._nodes = nodes
        self._rooms = rooms
        self._every_s = every_s
        self._deployment = deployment
        self._is_ahead = is_ahead
        self._restorer = restorer
        self._wanted = asyncio.Event()
        self._livekit_up = True
        self._turn = 0
        self._suspects: set[str] = set()

    async def run(self) -> None:
        """Reconcile at once, then every so often and after each outage of LiveKit, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._probe())
            while True:
                self._wanted.clear()
                await self.reconcile()
                try:
                    async with asyncio.timeout(self._every_s):
                        await self._wanted.wait()
                except TimeoutError:
                    continue

    async def reconcile(self) -> None:
        """One round."""
        for part in (self._check_log, self._check_rooms, self._check_slots, self._check_jobs):
            if not self._conductor.is_acting:
                return
            try:
                await part()
            except Unavailable as error:
                log.warning("reconcile.postponed", part=part.__name__.removeprefix("_check_"), reason=str(error))
            except Exception:
                log.exception("reconcile.bug", part=part.__name__)

    async def room_finished(self, session_id: str) -> None:
        """LiveKit says that it closed the room: believed if the room is gone and LiveKit is there to say so.

        A server that restarts says it of all its rooms; those are made anew instead.
        """
        try:
            rooms = await self._rooms.list([session_id])
        except Unavailable:
            return
        if not rooms and self._is_open(session_id):
            self._conductor.learn(session_id, room_closed=True)

    # --- LiveKit

    async def _probe(self) -> None:
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
                self._wanted.set()

    def _sample(self) -> list[str]:
        now_ms = self._conductor.now_ms()
        old = [s.session_id for s in self._board.open_sessions() if self._has_room(s, now_ms)]
        self._turn = (self._turn + _PROBED) % max(1, len(old))
        return (old[self._turn :] + old[: self._turn])[:_PROBED]

    def _has_room(self, session: Session, now_ms: int) -> bool:
        return session.end_asked is None and now_ms - session.requested_ms > reconciling.LOST_ROOM_MARGIN_MS

    def _livekit(self, up: bool, reason: str) -> None:
        if up != self._livekit_up:
            (log.info if up else log.warning)("livekit.up" if up else "livekit.down", reason=reason)
        self._livekit_up = up
        figures.LIVEKIT.set(up)

    async def _check_rooms(self) -> None:
        try:
            rooms = {room.name: room for room in await self._rooms.list()}
        except Unavailable as error:
            self._livekit(False, str(error))
            return
        self._livekit(True, "")
        now_ms = self._conductor.now_ms()
        lost = reconciling.lost_rooms(self._board.open_sessions(), rooms, now_ms)
        await self._each(lost[:_REPAIRS], self._make_again)
        created = {name: room.created_ms for name, room in rooms.items()}
        suspects = reconciling.suspect_rooms(created, self._is_wanted, self._conductor.bus_ms())
        orphans = [name for name in suspects if name in self._suspects]
        # Twice: LiveKit's clock may be behind ours, and then a room looks older than it is.
        self._suspects = set(suspects)
        await self._each(orphans[:_REPAIRS], lambda name: self._delete_orphan(rooms[name]))
        await self._each([s.session_id for s in self._board.open_sessions()], lambda sid: self._look_for(sid, rooms))

    def _is_wanted(self, name: str) -> bool:
        return self._is_open(name) or self._is_ahead(name)

    async def _make_again(self, session_id: str) -> None:
        if not self._conductor.is_acting or not self._is_open(session_id):
            return
        log.warning("room.lost", session_id=session_id)
        await self._rooms.create(session_id)

    async def _delete_orphan(self, room: Room) -> None:
        """Delete a room whose session ended, or one of our own that never got a session.

        A room that names another deployment, or none, is not ours for that alone that our log does not know it.
        """
        ours = room.deployment == self._deployment
        match await self._standing(room.name, room.created_ms if ours else None):
            case Standing.ENDED:
                log.warning("room.orphan_deleted", session_id=room.name)
                await self._rooms.delete(room.name)
            case Standing.LOST if ours:
                self._restorer.name(room.name, "room")
            case _:
                pass

    async def _look_for(self, session_id: str, rooms: Collection[str]) -> None:
        """Is the caller there? The back-up of `participant_joined` and `participant_left`."""
        session = self._board.session(session_id)
        if session is None:
            return
        # Asked for each: the number of participants that the list of rooms holds lags by seconds.
        present = await self._rooms.identities(session_id) if session_id in rooms else {}
        sid = present.get(caller_identity(session_id))
        now_ms = self._conductor.now_ms()
        facts = self._board.facts(session_id, now_ms)
        if sid is not None:
            if facts.caller_here is not True or facts.caller_left_ms is not None:
                self._conductor.learn(session_id, caller_here=True, caller_sid=sid, caller_left_ms=None)
            return
        was_here = facts.caller_here or session.started_ms is not None
        left_ms = (facts.caller_left_ms or now_ms) if was_here else facts.caller_left_ms
        if facts.caller_here is not False or left_ms != facts.caller_left_ms:
            self._conductor.learn(session_id, caller_here=False, caller_left_ms=left_ms)

    # --- the log, slots and jobs

    async def _check_log(self) -> None:
        await self._restorer.restore_all(self._board.open_sessions())

    async def _check_slots(self) -> None:
        mark = self._board.mark()
        held = await self._slots.held()
        now_ms = self._conductor.now_ms()
        self._board.holds({key: entry.session_id for key, entry in held.items()}, mark)
        figures.SLOTS.set(len(held))
        for key, entry in held.items():
            session_id = entry.session_id
            if entry.slot is None:
                await self._sweep_unreadable(key, entry, self._conductor.bus_ms())
                continue
            session = self._board.session(session_id)
            if session is not None and not session.has_ended:
                mine = self._board.facts(session_id, now_ms).slot
                spare = mine is not None and mine != key
            else:
                taken_ms = round(entry.slot.taken_at.timestamp() * 1000)
                aged = self._conductor.bus_ms() - taken_ms > _SLOT_MARGIN_MS
                spare = aged and session is None and await self._is_spare(session_id, taken_ms)
            if spare:
                log.warning("slot.stale_freed", session_id=session_id, slot=key)
                await self._slots.release(key, session_id)
                self._board.freed(key, session_id)
        self._conductor.capacity_changed()

    async def _sweep_unreadable(self, key: int, entry: HeldSlot, bus_ms: int) -> None:
        """An unreadable slot counts as held for a minute; kept for longer it would be lost for good."""
        if bus_ms - entry.stored_ms <= _SLOT_MARGIN_MS:
            return
        figures.SLOTS_SWEPT.inc()
        log.error("slot.unreadable_swept", slot=key, revision=entry.revision)
        await self._slots.sweep(key, entry)
        self._board.freed(key, entry.session_id)

    async def _check_jobs(self) -> None:
        stale, unknown = reconciling.stale_jobs(self._board.fleet.states(), self._board.session)
        for job in unknown[:_REPAIRS]:
            match await self._standing(job.session_id, None):
                case Standing.ENDED:
                    stale.append(job)
                case Standing.LOST:
                    await self._restorer.restore(job)
                case Standing.OPEN:
                    pass
        for job in stale:
            log.warning("job.stale", session_id=job.session_id, node_id=job.node_id, epoch=job.epoch)
            self._conductor.stop_job(job.session_id, job.epoch, job.node_id, job.reason)

    # --- shared

    def _is_open(self, session_id: str) -> bool:
        session = self._board.session(session_id)
        return session is not None and not session.has_ended

    async def _is_spare(self, session_id: str, taken_ms: int) -> bool:
        """Whether a slot's session is over, by the log; where the log lost its beginning, by the longest session."""
        stands = await self._standing(session_id, taken_ms)
        if stands is not Standing.LOST:
            return stands is Standing.ENDED
        self._restorer.name(session_id, "slot")
        longest_ms = self._board.limits.session_ms + _OUTLIVED_MARGIN_MS
        runs = any(job.session_id == session_id for node in self._board.fleet.states() for job in node.jobs)
        return self._conductor.bus_ms() - taken_ms > longest_ms and not runs

    async def _standing(self, session_id: str, made_ms: int | None) -> Standing:
        history = await self._log.history(session_id)
        # Asked second: what the log gave up meanwhile does not count as never written.
        return standing(history, made_ms=made_ms, begins_ms=await self._log.begins_ms())

    async def _each(self, names: Iterable[str], repair: Callable[[str], Awaitable[None]]) -> None:
        """Do it for each, some at a time; the first failure stands for all."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with limit:
                await repair(name)

        for result in await asyncio.gather(*(one(name) for name in names), return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
