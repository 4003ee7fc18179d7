"""The rooms joined ahead on this node: a worker in each, which a job of that room's session then takes over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from contracts.commands import CommandFailed, PrejoinRoom, RoomPrejoined
from contracts.deadlines import NODE_PREJOIN_S
from contracts.ids import caller_identity
from contracts.refusals import RefusalCode
from contracts.registry import PrejoinedRoom

from agent_runner.domain.link import BEAT_S, End, Joined, Prejoin, Removed, Stopped, ToSupervisor
from agent_runner.domain.waiting import Step, Waiting, next_step
from agent_runner.ports import KeyGone, KeysUnavailable, RoomKeys, WorkerProcess
from agent_runner.supervisor import meters
from agent_runner.supervisor.pool import NoWorker, Pool
from chassis import logs

_LEAVE_S: Final = 2.0  # from the request to go until SIGKILL
_LOOK_S: Final = 0.5
_TWO_BEATS_S: Final = 2 * BEAT_S
_HUNG: Final = "hung"
_CUT_OFF: Final = "cut_off"

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What does not change while the node runs.

    Attributes:
        silence_s: Silence after which a waiting worker is taken for hung.
    """

    node_id: str
    region: str | None
    silence_s: float


@dataclass(eq=False)
class _Room:
    """One room; the listener of its worker."""

    session_id: str
    rooms: Rooms
    joined: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    process: WorkerProcess | None = None
    entry: PrejoinedRoom | None = None
    revision: int = 0
    state: Waiting | None = None
    withdrawing: bool = False  # its key is being deleted
    ending: str | None = None
    killing: asyncio.TimerHandle | None = None
    silent_s: float = 0.0

    def on_message(self, message: ToSupervisor) -> None:
        self.silent_s = 0.0
        match message:
            case Joined():
                self.joined.set()
            case Removed() | Stopped() if self.joined.is_set():
                self.rooms.left(self)
            case _:
                pass

    def on_gone(self) -> None:
        self.gone.set()
        self.rooms.lost(self)


class Rooms:
    """Fills rooms at the scheduler's command and hands their workers to jobs. Each holds a slot of the pool's."""

    def __init__(
        self,
        facts: RoomFacts,
        pool: Pool,
        keys: RoomKeys,
        *,
        on_change: Callable[[], None],
        announce: Callable[[], Awaitable[object]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No room yet.

        Args:
            on_change: Called when a room came or went.
            announce: Writes the node's entry now, in which the rooms stand.
            clock: Monotonic seconds.
        """
        self._facts = facts
        self._pool = pool
        self._keys = keys
        self._on_change = on_change
        self._announce = announce
        self._clock = clock
        self._rooms: dict[str, _Room] = {}
        self._leaving: set[_Room] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def ids(self) -> tuple[str, ...]:
        """The sessions whose job would find its worker waiting here."""
        return tuple(session_id for session_id, room in self._rooms.items() if room.joined.is_set())

    @property
    def processes(self) -> int:
        """Processes of workers that wait in rooms, or leave them."""
        return sum(1 for room in (*self._rooms.values(), *self._leaving) if room.process is not None)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._rooms

    async def fill(self, order: PrejoinRoom) -> RoomPrejoined | CommandFailed:
        """Have a worker join the room, and offer the room to whoever starts a session next.

        The node's entry names the room before its key exists, so that whoever takes the room is sent here.
        """
        known = self._rooms.get(order.session_id)
        if known is not None and known.process is not None and known.joined.is_set():
            return RoomPrejoined(node_id=self._facts.node_id, pid=known.process.pid)
        if known is not None:
            return CommandFailed(code=RefusalCode.JOINING, detail="the room is being joined already", retryable=True)
        room = self._rooms[order.session_id] = _Room(order.session_id, self)
        self._pool.hold()
        try:
            async with asyncio.timeout(NODE_PREJOIN_S):
                process = await self._send(room, order)
                await self._offer(room, order.max_age_s)
        except NoWorker as error:
            self._drop(room, "no_worker")
            return CommandFailed(code=RefusalCode.NO_WORKER, detail=str(error), retryable=True)
        except (TimeoutError, KeysUnavailable, KeyGone) as error:
            self._end(room, "failed")
            return CommandFailed(
                code=RefusalCode.NOT_JOINED, detail=str(error) or f"not in {NODE_PREJOIN_S:g} s", retryable=True
            )
        except BaseException:
            self._end(room, "failed")
            raise
        log.info("room.prejoined", session_id=room.session_id, pid=process.pid)
        return RoomPrejoined(node_id=self._facts.node_id, pid=process.pid)

    def take(self, session_id: str) -> WorkerProcess | None:
        """The worker that waits in this session's room; its listener is the caller's to set, before any await.

        None: there is none, or it missed two beats; another one is better then.
        """
        room = self._rooms.get(session_id)
        if room is None or room.process is None or room.state is None or room.ending is not None:
            return None
        if room.process.is_gone or room.silent_s >= _TWO_BEATS_S:
            self._end(room, _HUNG)
            return None
        self._drop(room, "used")
        return room.process

    def make_way(self) -> None:
        """A job is about to need a slot: if there is none, the oldest room that nobody has taken goes."""
        self._make_way(1)

    def _make_way(self, coming: int) -> None:
        staying = [room for room in self._rooms.values() if not room.withdrawing]
        if self._pool.claimed + coming + len(staying) <= self._pool.limits.slots:
            return
        room = next((r for r in staying if r.state is not None and r.state.claimed is None), None)
        if room is not None:
            self._spawn(self._withdraw(room, "made_way"))
            room.withdrawing = True

    def put_away(self, why: str, *, claimed_too: bool) -> None:
        """End all of them; those that somebody has taken only if no job can come for them any more."""
        for room in list(self._rooms.values()):
            self._spawn(self._withdraw(room, why, claimed_too=claimed_too))

    def cut_off(self) -> None:
        """The node was away for longer than its lease: whoever took a room since has its agent elsewhere by now."""
        for room in list(self._rooms.values()):
            self._end(room, _CUT_OFF)

    def look(self, silence_s: float) -> None:
        """Count silence; called a few times a second."""
        for room in self._rooms.values():
            room.silent_s += silence_s

    async def run(self) -> None:
        """Renew the keys and put away what must go, for ever."""
        while True:
            self._make_way(0)  # a job may wait for a room that was still being joined when it came
            await asyncio.gather(*(self._attend(room) for room in list(self._rooms.values())))
            await asyncio.sleep(_LOOK_S)

    async def close(self, deadline_s: float) -> None:
        """Put all away and wait until their processes are gone."""
        self.put_away("closed", claimed_too=True)
        async with asyncio.timeout(deadline_s):
            while rooms := [*self._rooms.values(), *self._leaving]:
                await rooms[0].gone.wait()

    def left(self, room: _Room) -> None:
        """A waiting worker is not in its room any more, and on its way out: no job must get it."""
        self._end(room, "removed")

    def lost(self, room: _Room) -> None:
        """A waiting worker's process is over."""
        if room in self._leaving:
            self._leaving.discard(room)
            if room.killing is not None:
                room.killing.cancel()
            self._pool.unhold()
            self._changed()
        elif self._rooms.get(room.session_id) is room:
            log.warning("room.worker_gone", session_id=room.session_id, pid=room.process and room.process.pid)
            if room.entry is not None:
                self._spawn(self._forget_key(room))
            self._drop(room, "died")

    async def _send(self, room: _Room, order: PrejoinRoom) -> WorkerProcess:
        """Give the room a worker, and wait until it has joined, or raise `NoWorker`."""
        # A stale worker would wait with its old configuration for minutes.
        taken = await self._pool.take(NODE_PREJOIN_S, may_be_stale=False)
        room.process, taken.process.listener = taken.process, room
        if room.ending is not None:
            taken.process.kill()
        taken.process.send(
            Prejoin(
                session_id=order.session_id,
                url=order.url,
                token=order.token,
                caller_identity=caller_identity(order.session_id),
            )
        )
        waits = [asyncio.ensure_future(room.joined.wait()), asyncio.ensure_future(room.gone.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if room.gone.is_set() or room.ending is not None:
            raise NoWorker("the worker did not get into the room; the node's log says why")
        return taken.process

    async def _offer(self, room: _Room, max_age_s: float) -> None:
        await self._announce()
        at, now = datetime.now(UTC), self._clock()
        room.entry = PrejoinedRoom(
            session_id=room.session_id,
            node_id=self._facts.node_id,
            region=self._facts.region,
            joined_at=at,
            expires_at=at + timedelta(seconds=max_age_s),
        )
        room.revision = await self._keys.offer(room.entry)
        if self._rooms.get(room.session_id) is not room:  # it died, or was put away, meanwhile
            await self._forget_key(room)
            raise NoWorker("the worker left the room again; the node's log says why")
        room.state = Waiting(expires=now + max_age_s, renewed=now)
        self._changed()

    async def _attend(self, room: _Room) -> None:
        if room.state is None or room.entry is None or room.withdrawing:
            return
        now, state = self._clock(), room.state
        match next_step(state, now, silent_s=room.silent_s, silence_limit_s=self._facts.silence_s):
            case Step.RENEW:
                await self._renew(room, room.entry, now)
            case Step.WITHDRAW:
                await self._withdraw(room, "aged")
            case Step.END:
                is_hung = room.silent_s >= self._facts.silence_s
                self._end(room, _HUNG if is_hung else _CUT_OFF if state.claimed is None else "unused")
            case Step.WAIT:
                pass

    async def _renew(self, room: _Room, entry: PrejoinedRoom, now: float) -> None:
        try:
            room.revision = await self._keys.renew(entry, room.revision)
        except KeyGone:
            self._claimed(room)
        except KeysUnavailable as error:
            log.warning("room.not_renewed", session_id=room.session_id, reason=str(error))
        else:
            if room.state is not None:
                room.state = replace(room.state, renewed=now)

    async def _withdraw(self, room: _Room, why: str, *, claimed_too: bool = False) -> None:
        """End it unless somebody has it by now; without NATS its key outlives it by some seconds."""
        if self._rooms.get(room.session_id) is not room:
            return
        room.withdrawing = True
        try:
            if room.entry is not None:
                await self._keys.withdraw(room.session_id, room.revision)
        except KeyGone:
            self._claimed(room)
            if not claimed_too:
                room.withdrawing = False
                self._make_way(0)  # by another room, for whoever this one was to make way
                return
        except KeysUnavailable as error:
            log.warning("room.key_left", session_id=room.session_id, reason=str(error))
        self._end(room, why)

    async def _forget_key(self, room: _Room) -> None:
        try:
            await self._keys.withdraw(room.session_id, room.revision)
        except (KeyGone, KeysUnavailable):
            return  # somebody has it, and finds another worker; or it expires

    def _claimed(self, room: _Room) -> None:
        if room.state is not None and room.state.claimed is None:
            room.state = replace(room.state, claimed=self._clock())

    def _end(self, room: _Room, why: str) -> None:
        """Have the worker leave its room; the slot is free when its process is gone.

        One that hangs, or whose node was away for so long that another has its session, is killed: to leave in order it
        would first resume its connection, which puts out the agent that has its identity by then.
        """
        if room.ending is not None or self._rooms.get(room.session_id) is not room:
            return
        room.ending = why
        if room.process is None or room.process.is_gone:
            self._drop(room, why)
            return
        del self._rooms[room.session_id]
        self._leaving.add(room)
        if not room.withdrawing and room.entry is not None:
            self._spawn(self._forget_key(room))
        meters.ROOMS.labels(why).inc()
        log.info("room.put_away", session_id=room.session_id, pid=room.process.pid, why=why)
        if why in (_HUNG, _CUT_OFF):
            room.process.kill()
        else:
            room.process.send(End())
            room.killing = asyncio.get_running_loop().call_later(_LEAVE_S, room.process.kill)
        self._changed()

    def _drop(self, room: _Room, why: str) -> None:
        """It is none of ours any more, and neither is its slot."""
        if self._rooms.get(room.session_id) is room:
            del self._rooms[room.session_id]
            room.ending = why
            room.gone.set()
            meters.ROOMS.labels(why).inc()
            self._pool.unhold()
            self._changed()

    def _changed(self) -> None:
        meters.WORKERS.labels("prejoined").set(len(self.ids))
        self._on_change()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
