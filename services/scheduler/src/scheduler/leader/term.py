"""One term of leadership: read what there is, then act on what comes."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chassis import logs
from chassis.nats.kv.lease import Lease
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.domain.session import Recorded, Session
from scheduler.leader import figures, streams_watch
from scheduler.leader.agents import Agents
from scheduler.leader.conductor import Conductor
from scheduler.leader.liveness import Liveness
from scheduler.leader.mirror import mirror_queue
from scheduler.leader.prejoiner import Prejoiner, PrejoinPlan
from scheduler.leader.readback import insist, read_back, read_forgotten
from scheduler.leader.reconciler import Reconciler
from scheduler.leader.restorer import Restorer
from scheduler.leader.room_repair import RoomRepair
from scheduler.leader.streams_watch import StreamsWatch
from scheduler.leader.timekeeper import Timekeeper
from scheduler.ports import (
    Feed,
    Nodes,
    PrejoinedRooms,
    QueueMirror,
    RoomRecord,
    Rooms,
    SessionLog,
    Slots,
    Stores,
    Words,
)

_MARGIN_MS: Final = 120_000
_COUNT_S: Final = 1.0
_BEGIN_S: Final = 60.0
_SWEEP_S: Final = 5.0
_OUTAGE_LEASES: Final = 2
_PREJOINED_S: Final = 10.0

log = logs.get_logger(__name__)


class NotBegun(Exception):
    """A leader could not read what it needs to lead."""


class MessageHandlers(Protocol):
    """Takes in the messages of one term."""

    async def follow_log(self, feed: Feed[Recorded]) -> None:
        """Take in every record until cancelled."""
        ...

    async def follow_rooms(self, feed: Feed[RoomRecord]) -> None:
        """Take in every webhook until cancelled."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """All that a term needs from outside."""

    session_log: SessionLog
    slots: Slots
    nodes: Nodes
    rooms: Rooms
    prejoined: PrejoinedRooms
    queue: QueueMirror
    stores: Stores
    words: Words
    agents: Agents


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings of a term.

    Attributes:
        reconcile_s: Seconds between two reconciliations.
        deployment: The rooms that name it are ours.
        streams_look_s: Seconds between two looks at the streams' use.
        calls_bytes: Most bytes that all concurrent calls write into the log.
    """

    limits: Limits
    prejoin: PrejoinPlan
    reconcile_s: float
    deployment: str
    streams_look_s: float
    calls_bytes: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The long-lived objects of one term."""

    conductor: Conductor
    liveness: Liveness
    prejoiner: Prejoiner
    reconciler: Reconciler
    restorer: Restorer
    watch: StreamsWatch
    handlers: MessageHandlers


class Term:
    """One term, from gaining the lease until losing it. The next term knows only what is stored.

    Attributes:
        acting: Its parts while it acts.
        open_at_end: The sessions that were open at the end, and those of `former` that the log was not asked about yet.

    Args:
        former: The sessions that were open when this process led before, if it saw no other lead since; a log that was
            lost since lacks them.
    """

    def __init__(
        self,
        ports: Ports,
        plan: Plan,
        timekeeper: Timekeeper,
        handlers: Callable[[Conductor, RoomRepair], MessageHandlers],
        is_leading: Callable[[], bool],
        former: Sequence[Session] = (),
    ) -> None:
        self._ports = ports
        self._plan = plan
        self._timekeeper = timekeeper
        self._handlers = handlers
        self._is_leading = is_leading
        self._former = former
        self.acting: Parts | None = None
        self.open_at_end: Sequence[Session] = former

    @property
    def has_begun(self) -> bool:
        """Whether the term has read what there is, and acts."""
        return self.acting is not None

    async def run(self) -> None:
        """Lead until cancelled.

        Raises:
            ExceptionGroup: With `NotBegun`, or with the failure that ended the term.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._must_begin())  # first: each of the following waits without its own timeout
            await insist(self._ports.nodes.prepare)
            await self._timekeeper.begun()
            board = Board(self._plan.limits, self._timekeeper.now_ms(), stored_ms=self._timekeeper.stored_ms)
            parts = self.make_parts(board)
            try:
                await self._lead(board, parts)
            finally:
                if self.has_begun:
                    self.open_at_end = (
                        *board.roster.open_sessions(),
                        *(s for s in parts.reconciler.former if s.session_id not in board.roster),
                    )
                self.acting = None
                figures.clear()
                streams_watch.clear_figures()
                await parts.conductor.stop()

    def outage_ended(self) -> None:
        """NATS is back: nodes get time to connect before any is judged, and what the log has lost is restored."""
        if self.acting is not None:
            conductor = self.acting.conductor
            conductor.beginnings.outages += 1
            self.acting.reconciler.soon()
            wait_ms = _OUTAGE_LEASES * self._plan.limits.node_lease_ms
            conductor.board.nodes.outage_ended(self._timekeeper.now_ms() + wait_ms)

    def make_parts(self, board: Board) -> Parts:
        """The parts that act on this board."""
        ports, plan = self._ports, self._plan
        conductor = Conductor(
            board, self._timekeeper, ports.session_log, ports.slots, ports.rooms, ports.agents, self._is_leading
        )
        prejoiner = Prejoiner(
            plan.prejoin,
            board,
            ports.session_log,
            ports.nodes,
            ports.rooms,
            ports.prejoined,
            now_ms=self._timekeeper.now_ms,
            is_acting=lambda: conductor.is_acting,
        )
        restorer = Restorer(conductor, ports.session_log, ports.slots, ports.nodes, ports.words)
        rooms = RoomRepair(
            conductor, ports.rooms, restorer, deployment=plan.deployment, is_prejoined=prejoiner.is_prejoined
        )
        return Parts(
            conductor=conductor,
            liveness=Liveness(conductor, ports.nodes),
            prejoiner=prejoiner,
            reconciler=Reconciler(
                conductor, ports.slots, restorer, rooms, every_s=plan.reconcile_s, former=self._former
            ),
            restorer=restorer,
            watch=StreamsWatch(ports.stores, board, plan.streams_look_s, plan.calls_bytes),
            handlers=self._handlers(conductor, rooms),
        )

    async def _lead(self, board: Board, parts: Parts) -> None:
        session_log, limits, clock = self._ports.session_log, self._plan.limits, self._timekeeper.clock
        since_ms, nodes_told = board.roster.since_ms, asyncio.Event()
        feed = session_log.follow((await insist(session_log.tail)).seq)
        room_feed = session_log.follow_rooms(clock.earliest_ms(since_ms - _MARGIN_MS))
        recent_ms = clock.earliest_ms(since_ms - limits.queue_ms - limits.startup_ms - _MARGIN_MS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(parts.handlers.follow_log(feed))
            tasks.create_task(self._ports.nodes.watch(parts.liveness.changed, nodes_told))
            await feed.caught_up.wait()
            await read_back(board, session_log, self._ports.slots, recent_ms=recent_ms)
            await nodes_told.wait()
            self.acting = parts
            parts.conductor.begin()
            figures.LEADING.set(1)
            log.info("term.began", sessions=len(board.roster.ids()), slots=len(board.slots), nodes=len(board.fleet))
            # Not earlier: webhooks concern known sessions, and no deadline in a term's first seconds needs one.
            tasks.create_task(parts.handlers.follow_rooms(room_feed))
            self._act(tasks, board, parts)

    def _act(self, tasks: asyncio.TaskGroup, board: Board, parts: Parts) -> None:
        session_log, conductor = self._ports.session_log, parts.conductor
        for work in (
            conductor.steps.timers.run(),
            parts.liveness.run(),
            _sweep(conductor),
            parts.prejoiner.run(),
            _reconcile(parts),
            read_forgotten(board, session_log, conductor.wake),
            _count(board),
            parts.watch.run(),
            mirror_queue(
                board,
                session_log.tail,
                self._ports.queue,
                log_is_full=lambda: parts.watch.log_is_full,
                restored_ms=lambda: parts.reconciler.restored_ms,
            ),
        ):
            tasks.create_task(work)

    async def _must_begin(self) -> None:
        """Release the lease if the term does not begin within 60 s: another scheduler may be able to read.

        Raises:
            NotBegun: The term did not begin in time.
        """
        await asyncio.sleep(_BEGIN_S)
        if not self.has_begun:
            log.error("term.not_begun", seconds=_BEGIN_S, fix="See above: `replay.waiting` and `term.waits` say why.")
            raise NotBegun


class Terms:
    """The terms of one process, one after the other."""

    def __init__(self, make: Callable[[Callable[[], bool], Sequence[Session]], Term], lease: Lease) -> None:
        self._make = make
        self._lease = lease
        self._term: Term | None = None
        self._former: Sequence[Session] = ()
        self._others_seen = 0

    async def lead(self) -> None:
        """Lead for one term, until cancelled."""
        gains, others_seen = self._lease.gains, self._lease.others_seen
        if others_seen != self._others_seen:  # another process led meanwhile, and may have ended these sessions
            self._former, self._others_seen = (), others_seen
        term = self._term = self._make(lambda: self._lease.is_held and self._lease.gains == gains, self._former)
        try:
            await term.run()
        finally:
            self._former = term.open_at_end

    async def ended(self) -> None:
        """Stand by again."""
        self._term = None

    async def ready(self) -> str | None:
        """Why the process is not ready; None: it is, or stands by."""
        has_begun = self._term is not None and self._term.has_begun
        return (
            None
            if has_begun or not self._lease.is_held
            else "this process leads, but its term has not begun; see its log"
        )

    async def reconnected(self) -> None:
        """NATS is back."""
        if self._term is not None:
            self._term.outage_ended()


async def _reconcile(parts: Parts) -> None:
    try:
        async with asyncio.timeout(_PREJOINED_S):
            await parts.prejoiner.caught_up.wait()  # an unknown prejoined room looks like an orphan
    except TimeoutError:
        log.error("prejoined.not_read", seconds=_PREJOINED_S, effect="Rooms without a session are not deleted.")
    await parts.reconciler.run()


async def _sweep(conductor: Conductor) -> None:
    while True:
        await asyncio.sleep(_SWEEP_S)
        conductor.sweep()


async def _count(board: Board) -> None:
    while True:
        starting = active = 0
        for session in board.roster.open_sessions():
            if session.current is not None:
                ready = session.epoch in session.ready_ms
                active, starting = active + ready, starting + (not ready)
        figures.SESSIONS.labels("active").set(active)
        figures.SESSIONS.labels("starting").set(starting)
        figures.SESSIONS.labels("queued").set(len(board.admission))
        figures.SLOTS.set(len(board.slots))
        await asyncio.sleep(_COUNT_S)
