"""The prejoined rooms of this node: a worker waits in each, for the job of that room's session."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agent_runner.domain import prejoined_room as domain
from agent_runner.domain.call_events import Kill, Release
from agent_runner.domain.prejoined_room import Phase, RoomEffect, RoomState, RoomStep
from agent_runner.link.messages import End, Prejoin, ToSupervisor
from agent_runner.ports import KeyGone, KeysUnavailable, RoomKeys, WorkerProcess
from agent_runner.supervisor import meters
from agent_runner.supervisor.pool import NoWorker, Pool
from chassis import logs
from chassis.tasks import Tasks, first_of
from contracts.commands import CommandFailed, PrejoinRoom, RoomPrejoined
from contracts.deadlines import NODE_PREJOIN_S
from contracts.ids import caller_identity
from contracts.refusals import RefusalCode
from contracts.registry import PrejoinedRoom

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """Constant while the node runs.

    Attributes:
        silence_s: Silence after which a waiting worker counts as hung.
    """

    node_id: str
    region: str | None
    silence_s: float


class _Room:
    """One room, which listens to its worker; `rooms` performs its effects."""

    def __init__(self, rooms: "PrejoinedRooms", order: PrejoinRoom) -> None:
        self.session_id = order.session_id
        self.state = RoomState(max_age_s=order.max_age_s)
        self.process: WorkerProcess | None = None
        self.entry: PrejoinedRoom | None = None
        self.joined = asyncio.Event()
        self.gone = asyncio.Event()
        self.kill: asyncio.TimerHandle | None = None
        self._rooms = rooms

    def on_message(self, message: ToSupervisor) -> None:
        self._rooms.perform(self, self.state.said(message))
        if self.state.has_joined:
            self.joined.set()

    def on_gone(self) -> None:
        self._rooms.perform(self, self.state.died())


class PrejoinedRooms:
    """Joins rooms at the scheduler's command and gives their workers to jobs. Each room holds a slot of the pool."""

    def __init__(
        self,
        facts: RoomFacts,
        pool: Pool,
        keys: RoomKeys,
        *,
        on_change: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_change`: called when a room came or went; `clock`: monotonic seconds."""
        self._facts = facts
        self._pool = pool
        self._keys = keys
        self._on_change = on_change
        self._clock = clock
        self._rooms: dict[str, _Room] = {}
        self._leaving: set[_Room] = set()
        self._tasks = Tasks()

    @property
    def ids(self) -> tuple[str, ...]:
        """The sessions whose job would find its worker in the room."""
        return tuple(session_id for session_id, room in self._rooms.items() if room.state.has_joined)

    @property
    def processes(self) -> int:
        """Processes of workers that wait in rooms or leave them."""
        return sum(1 for room in (*self._rooms.values(), *self._leaving) if room.process is not None)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._rooms

    async def fill(
        self, order: PrejoinRoom, *, announce: Callable[[], Awaitable[object]]
    ) -> RoomPrejoined | CommandFailed:
        """Have a worker join the room, and offer the room to the next session.

        Args:
            announce: Writes the node's entry now. The entry lists the room before its key exists, so that the session
                that claims the room is sent here.
        """
        known = self._rooms.get(order.session_id)
        if known is not None and known.state.has_joined:
            return RoomPrejoined(node_id=self._facts.node_id, pid=known.state.pid)
        if known is not None:
            return CommandFailed(code=RefusalCode.JOINING, detail="a worker already joins the room", retryable=True)
        room = self._rooms[order.session_id] = _Room(self, order)
        self._pool.change_slots(rooms=1)
        try:
            async with asyncio.timeout(NODE_PREJOIN_S):
                await self._send(room, order)
                await self._offer(room, announce)
        except NoWorker as error:
            self.perform(room, room.state.fill_failed("no_worker"))
            return CommandFailed(code=RefusalCode.NO_WORKER, detail=str(error), retryable=True)
        except (TimeoutError, KeysUnavailable, KeyGone) as error:
            self.perform(room, room.state.fill_failed("failed"))
            detail = str(error) or f"not in {NODE_PREJOIN_S:g} s"
            return CommandFailed(code=RefusalCode.NOT_JOINED, detail=detail, retryable=True)
        except BaseException:
            self.perform(room, room.state.fill_failed("failed"))
            raise
        log.info("room.prejoined", session_id=room.session_id, pid=room.state.pid)
        return RoomPrejoined(node_id=self._facts.node_id, pid=room.state.pid)

    def take(self, session_id: str) -> WorkerProcess | None:
        """The worker in this session's room; None: no usable one. The caller sets its listener before any await."""
        room = self._rooms.get(session_id)
        if room is None:
            return None
        self.perform(room, room.state.job_came())
        return room.process if room.state.end == domain.USED else None

    def evict(self, *, coming: int = 1) -> None:
        """Evict the oldest unclaimed room if no slot is left for so many coming jobs."""
        states = {session_id: room.state for session_id, room in self._rooms.items()}
        jobs, slots = self._pool.state.jobs + coming, self._pool.limits.slots
        evicted = domain.room_to_evict(states, jobs=jobs, slots=slots)
        if evicted is not None:
            self.perform(self._rooms[evicted], states[evicted].retire("made_way"))

    def retire(self, end: str, *, claimed_too: bool) -> None:
        """End all rooms; those that a session has claimed only if this node can no longer get the session's job."""
        for room in list(self._rooms.values()):
            self.perform(room, room.state.retire(end, claimed_too=claimed_too))

    def node_was_away(self) -> None:
        """Kill the workers of all rooms: the node was away for longer than its lease."""
        for room in list(self._rooms.values()):
            self.perform(room, room.state.node_was_away())

    def look(self, silence_s: float) -> None:
        """Count silence, renew keys, retire old rooms; called a few times a second."""
        self.evict(coming=0)  # a job may have come while the only room was still being joined
        for room in list(self._rooms.values()):
            self.perform(room, room.state.looked(silence_s, self._clock(), silence_limit_s=self._facts.silence_s))

    async def close(self, deadline_s: float) -> None:
        """End all rooms and wait until their processes are gone."""
        self.retire("closed", claimed_too=True)
        async with asyncio.timeout(deadline_s):
            while rooms := [*self._rooms.values(), *self._leaving]:
                await rooms[0].gone.wait()

    def perform(self, room: _Room, step: RoomStep) -> None:
        """Take the room's next state, and perform the effects."""
        room.state, effects = step
        for effect in effects:
            self._perform(room, effect)

    def _perform(self, room: _Room, effect: RoomEffect) -> None:
        match effect:
            case domain.RenewKey():
                self._tasks.spawn(self._renew(room, effect.revision))
            case domain.DeleteKey():
                self._tasks.spawn(self._delete(room, effect.revision))
            case domain.Leave() if room.process is not None:
                room.process.send(End())
            case Kill() if room.process is not None and not effect.after_s:
                room.process.kill()
            case Kill() if room.process is not None:
                room.kill = asyncio.get_running_loop().call_later(effect.after_s, room.process.kill)
            case domain.Leave() | Kill():
                pass
            case domain.Ended():
                self._ended(room, effect.end)
            case Release():
                self._release(room)

    def _ended(self, room: _Room, end: str) -> None:
        del self._rooms[room.session_id]
        self._leaving.add(room)
        meters.ROOMS.labels(end).inc()
        log.info("room.ended", session_id=room.session_id, pid=room.state.pid, end=end)
        self._changed()

    def _release(self, room: _Room) -> None:
        self._leaving.discard(room)
        if room.kill is not None:
            room.kill.cancel()
        room.gone.set()
        self._pool.change_slots(rooms=-1)
        self._changed()

    async def _send(self, room: _Room, order: PrejoinRoom) -> None:
        """Give the room a worker and wait until it has joined.

        Raises:
            NoWorker: No worker in time, or the room ended meanwhile.
        """
        taken = await self._pool.take(
            NODE_PREJOIN_S, may_be_stale=False
        )  # its configuration may have to last for minutes
        room.process, taken.process.listener = taken.process, room
        self.perform(room, room.state.worker_came(taken.process.pid))
        if room.state.phase is Phase.FILLING:
            caller = caller_identity(order.session_id)
            prejoin = Prejoin(session_id=order.session_id, url=order.url, token=order.token, caller_identity=caller)
            taken.process.send(prejoin)
            await first_of(room.joined.wait(), room.gone.wait())
        if room.state.phase is not Phase.FILLING:
            raise NoWorker("the worker did not join the room; the node's log has the reason")

    async def _offer(self, room: _Room, announce: Callable[[], Awaitable[object]]) -> None:
        await announce()
        at = datetime.now(UTC)
        room.entry = PrejoinedRoom(
            session_id=room.session_id,
            node_id=self._facts.node_id,
            region=self._facts.region,
            joined_at=at,
            expires_at=at + timedelta(seconds=room.state.max_age_s),
        )
        room.state = room.state.offering(self._clock())
        revision = await self._keys.offer(room.entry)
        self.perform(room, room.state.offered(revision))
        if room.state.phase is not Phase.WAITING:
            raise NoWorker("the worker left the room again; the node's log has the reason")
        self._changed()

    async def _renew(self, room: _Room, revision: int) -> None:
        if room.entry is None:
            return
        try:
            renewed = await self._keys.renew(room.entry, revision)
        except KeyGone:
            renewed = None
        except KeysUnavailable as error:
            renewed = 0
            log.warning("room.not_renewed", session_id=room.session_id, reason=str(error))
        self.perform(room, room.state.renewed_key(renewed, self._clock()))

    async def _delete(self, room: _Room, revision: int) -> None:
        by_us = True
        try:
            await self._keys.delete(room.session_id, revision)
        except KeyGone:
            by_us = False
        except KeysUnavailable as error:
            log.warning("room.key_left", session_id=room.session_id, reason=str(error))  # it expires in 15 s
        self.perform(room, room.state.key_deleted(self._clock(), by_us=by_us))
        if not by_us:
            self.evict(coming=0)  # evict another room if a session has claimed the one that was to be evicted

    def _changed(self) -> None:
        meters.WORKERS.labels("prejoined").set(len(self.ids))
        self._on_change()
