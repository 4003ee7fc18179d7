"""One term of leadership: read back what there is, then act on what comes."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from chassis import logs
from scheduler.domain.limits import Limits
from scheduler.domain.session import Recorded, Session
from scheduler.leader import figures, streams_watch
from scheduler.leader.agents import Agents
from scheduler.leader.board import Board
from scheduler.leader.conductor import Conductor
from scheduler.leader.liveness import Liveness
from scheduler.leader.mirror import mirror_queue
from scheduler.leader.prejoiner import Prejoiner, PrejoinPlan
from scheduler.leader.readback import insist, read_back, read_forgotten
from scheduler.leader.reconciler import Reconciler
from scheduler.leader.restorer import Restorer
from scheduler.leader.streams_watch import StreamsWatch
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import Feed, Nodes, PrejoinedRooms, QueueMirror, RoomRecord, Rooms, SessionLog, Slots, Stores

_MARGIN_MS: Final = 120_000
_COUNT_S: Final = 1.0
_BEGIN_S: Final = 60.0
_SWEEP_S: Final = 5.0
_OUTAGE_LEASES: Final = 2

log = logs.get_logger(__name__)


class NotBegun(Exception):
    """A leader cannot read what it needs to lead."""


class Handlers(Protocol):
    """What takes in the messages of one term."""

    async def follow_log(self, feed: Feed[Recorded]) -> None:
        """Take in every record; runs until cancelled."""
        ...

    async def follow_rooms(self, feed: Feed[RoomRecord]) -> None:
        """Take in every webhook; runs until cancelled."""
        ...


class Term:
    """One gain of the lease; only what is written outlives it."""

    def __init__(
        self,
        *,
        limits: Limits,
        session_log: SessionLog,
        slots: Slots,
        nodes: Nodes,
        rooms: Rooms,
        agents: Agents,
        offered: PrejoinedRooms,
        queue: QueueMirror,
        prejoin: PrejoinPlan,
        is_leading: Callable[[], bool],
        timekeeper: Timekeeper,
        handlers: Callable[[Conductor, Reconciler, Timekeeper], Handlers],
        reconcile_s: float,
        deployment: str,
        stores: Stores,
        streams_look_s: float,
        calls_bytes: int,
        former: Sequence[Session] = (),
    ) -> None:
        """Take the parts.

        Args:
            streams_look_s: Seconds between two looks at the streams' use.
            calls_bytes: What all calls that may run at once write into the log at most.
            former: The sessions that were open when this process led before: a log that was lost since knows nothing
                of them.
        """
        self._limits = limits
        self._log = session_log
        self._slots = slots
        self._nodes = nodes
        self._rooms = rooms
        self._agents = agents
        self._offered = offered
        self._queue = queue
        self._prejoin = prejoin
        self._is_leading = is_leading
        self._reconcile_s = reconcile_s
        self._deployment = deployment
        self._timekeeper = timekeeper
        self._handlers = handlers
        self._former = former
        self._stores = stores
        self._streams_look_s = streams_look_s
        self._calls_bytes = calls_bytes
        self.conductor: Conductor | None = None
        self.open_at_end: Sequence[Session] = former

    async def run(self) -> None:
        """Lead until cancelled.

        Raises:
            ExceptionGroup: With `NotBegun`, or with what ended the term.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._must_begin())  # first: each of the following waits without a limit of its own
            await self._lead()

    async def _lead(self) -> None:
        await insist(self._nodes.prepare)
        await self._timekeeper.begun()
        clock = self._timekeeper.clock
        since_ms = self._timekeeper.now_ms()
        board = Board(self._limits, since_ms, stored_ms=self._timekeeper.stored_ms)
        conductor = Conductor(board, clock, self._log, self._slots, self._rooms, self._agents, self._is_leading)
        prejoiner = Prejoiner(
            self._prejoin,
            board,
            self._log,
            self._nodes,
            self._rooms,
            self._offered,
            now_ms=conductor.now_ms,
            is_acting=lambda: conductor.is_acting,
        )
        restorer = Restorer(conductor, self._log, self._slots, self._nodes)
        reconciler = Reconciler(
            conductor,
            self._log,
            self._slots,
            self._nodes,
            self._rooms,
            self._reconcile_s,
            self._deployment,
            restorer,
            is_ahead=prejoiner.is_ahead,
        )
        liveness, nodes_told = Liveness(conductor, self._nodes), asyncio.Event()
        handlers = self._handlers(conductor, reconciler, self._timekeeper)
        feed = self._log.follow((await insist(self._log.tail)).seq)
        room_feed = self._log.follow_rooms(clock.earliest_ms(since_ms - _MARGIN_MS))
        recent_ms = clock.earliest_ms(since_ms - self._limits.queue_ms - self._limits.startup_ms - _MARGIN_MS)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(handlers.follow_log(feed))
                tasks.create_task(self._nodes.watch(liveness.changed, nodes_told))
                await feed.caught_up.wait()
                await read_back(board, self._log, self._slots, recent_ms=recent_ms)
                await nodes_told.wait()
                self.conductor = conductor
                conductor.begin()
                figures.LEADING.set(1)
                log.info("term.began", sessions=len(board.ids()), slots=board.slots_held, nodes=len(board.fleet))
                # Not before: a webhook is about a session, and no deadline hangs on one within a term's first seconds.
                tasks.create_task(handlers.follow_rooms(room_feed))
                tasks.create_task(conductor.timers.run())
                tasks.create_task(liveness.run())
                tasks.create_task(_sweep(conductor))
                tasks.create_task(prejoiner.run())
                tasks.create_task(_reconcile(reconciler, prejoiner))
                tasks.create_task(read_forgotten(board, self._log, conductor.wake))
                tasks.create_task(
                    insist(lambda: restorer.restore_all(s for s in self._former if s.session_id not in board))
                )
                tasks.create_task(_count(board))
                watch = StreamsWatch(self._stores, board, self._streams_look_s, self._calls_bytes)
                tasks.create_task(watch.run())
                tasks.create_task(
                    mirror_queue(board, self._log.tail, self._queue, log_is_full=lambda: watch.log_is_full)
                )
        finally:
            self.open_at_end = tuple(board.open_sessions()) if self.conductor is not None else self._former
            self.conductor = None
            figures.clear()
            streams_watch.clear_figures()
            await conductor.stop()

    @property
    def has_begun(self) -> bool:
        """What there is was read back, and the leader acts."""
        return self.conductor is not None

    async def _must_begin(self) -> None:
        """Another scheduler may be able to read what this one cannot.

        Raises:
            NotBegun: The term did not begin in time: the lease goes back.
        """
        await asyncio.sleep(_BEGIN_S)
        if not self.has_begun:
            log.error("term.not_begun", seconds=_BEGIN_S, fix="See above: `replay.waiting` and `term.waits` say why.")
            raise NotBegun

    def outage_over(self) -> None:
        """NATS was away: the nodes get the time to connect and to renew their keys before any is judged."""
        if self.conductor is not None:
            wait_ms = _OUTAGE_LEASES * self._limits.node_lease_ms
            self.conductor.board.outage_over(self.conductor.now_ms() + wait_ms)


async def _reconcile(reconciler: Reconciler, prejoiner: Prejoiner) -> None:
    """A room that was joined ahead looks like an orphan to one who does not know of it."""
    await prejoiner.caught_up.wait()
    await reconciler.run()


async def _sweep(conductor: Conductor) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        conductor.sweep()


async def _count(board: Board) -> None:
    while True:
        starting = active = 0
        for session in board.open_sessions():
            if session.current is not None:
                ready = session.epoch in session.ready_ms
                active, starting = active + ready, starting + (not ready)
        figures.SESSIONS.labels("active").set(active)
        figures.SESSIONS.labels("starting").set(starting)
        figures.SESSIONS.labels("queued").set(board.waiting)
        figures.SLOTS.set(board.slots_held)
        await asyncio.sleep(_COUNT_S)
