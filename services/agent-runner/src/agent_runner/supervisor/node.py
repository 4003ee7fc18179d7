"""One node: which jobs it holds, what it answers to commands, and what it says about itself."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from contracts.causes import Cause
from contracts.commands import (
    AssignJob,
    CommandFailed,
    DescribeJob,
    DrainNode,
    EndJob,
    JobAccepted,
    JobDescribed,
    JobEnded,
    NodeDraining,
    PrejoinRoom,
    RoomPrejoined,
)
from contracts.deadlines import (
    DESCRIBE_REPORT_S,
    END_REPORT_S,
    NODE_ACCEPT_S,
    NODE_END_S,
    NODE_LEASE_S,
    NODE_RENEW_S,
    REAP_S,
)
from contracts.refusals import RefusalCode
from contracts.registry import NodeJob, NodeState

from agent_runner.domain.assignment import NodeView, Refusal, Take, decide
from agent_runner.domain.pulse import LOOK_S, silence_step
from agent_runner.ports import LogUnavailable, Registry
from agent_runner.supervisor import meters
from agent_runner.supervisor.call import Call, World
from agent_runner.supervisor.rooms import Rooms
from chassis import logs

"""Without a renewal for so long the scheduler may take this node for lost, and give its jobs to others."""

_ANNOUNCE_AGAIN_S: Final = 0.5  # after one that failed
_DEBOUNCE_S: Final = 0.05
_FENCE_S: Final = 2.0
_FENCE_RETRY_S: Final = 0.5
_REMEMBERED: Final = 10_000

log = logs.get_logger(__name__)


def _now_asleep_or_not() -> float:
    """Seconds of a clock that also goes on while the machine is suspended; the monotonic one stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class _Over:
    """A job that was here, in ms as `agent_stopped` has them."""

    epoch: int = 0
    served_ms: int = 0
    fault_ms: int = 0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What does not change while the node runs."""

    node_id: str
    region: str | None
    started_at: datetime
    incarnation: str = ""


class Node:
    """The jobs of this node."""

    def __init__(
        self,
        facts: NodeFacts,
        world: World,
        rooms: Rooms,
        registry: Registry,
        *,
        load: Callable[[], float],
        forkservers: Callable[[], int],
        on_drained: Callable[[], None],
        clock: Callable[[], float] = _now_asleep_or_not,
    ) -> None:
        """Take no job yet.

        Args:
            load: Share of the host's CPU in use, 0..1.
            forkservers: Processes beside the supervisor and the workers.
            on_drained: Called when the node was told to drain and its calls are over.
            clock: Seconds that also go by while the machine is suspended.
        """
        self._facts = facts
        self._world = world
        self._rooms = rooms
        self._registry = registry
        self._load = load
        self._forkservers = forkservers
        self._on_drained = on_drained
        self._clock = clock
        self._renewed = clock()  # when the last write of the node's entry began that succeeded
        self._fenced = -math.inf
        self._fencing = asyncio.Lock()
        self._current: dict[str, Call] = {}
        self._calls: set[Call] = set()
        self._over: OrderedDict[str, _Over] = OrderedDict()
        self._draining = False
        self._term = 0  # the greatest that a scheduler named in a command
        self._leaving: asyncio.Task[None] | None = None
        self._fences: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_draining(self) -> bool:
        """Nothing new is taken."""
        return self._draining

    def changed(self) -> None:
        """Something that the registry shows is different."""
        self._changed.set()

    async def assign(self, job: AssignJob) -> JobAccepted | CommandFailed:
        """Take a job, or say why not; the same command again gives the same answer."""
        if (outranked := self._outranked(job.term)) is not None:
            return outranked
        held = self._current.get(job.session_id)
        over = self._over.get(job.session_id)
        view = NodeView(
            slots=self._world.pool.limits.slots,
            busy=self._world.pool.state.claimed,
            draining=self._draining,
            held_epoch=None if held is None else held.job.epoch,
            ended_epoch=None if over is None else over.epoch,
            not_ready=None if job.session_id in self._rooms else self._world.pool.problem(),
        )
        try:
            take = decide(view, job.epoch)
        except Refusal as refusal:
            meters.REFUSALS.labels(refusal.code).inc()
            log.warning("job.refused", session_id=job.session_id, epoch=job.epoch, code=refusal.code)
            return CommandFailed(code=refusal.code, detail=refusal.detail, retryable=refusal.retryable)
        if take is Take.REPLACE and held is not None:
            held.end(Cause.SUPERSEDED)
        if take is Take.ALREADY and held is not None:
            call = held
        else:
            waiting = self._rooms.take(job.session_id)
            if waiting is None:
                self._rooms.make_way()
            call = Call(job, self._world, self._job_over)
            self._current[job.session_id] = call
            self._calls.add(call)
            self._idle.clear()
            call.begin(waiting)
        await call.has_worker(NODE_ACCEPT_S)
        return JobAccepted(node_id=self._facts.node_id, pid=call.state.pid)

    async def prejoin(self, order: PrejoinRoom) -> RoomPrejoined | CommandFailed:
        """Have a warm worker wait in a room, within the slots; a call that needs the slot later gets it."""
        pool = self._world.pool
        problem = pool.problem()
        if self._draining:
            return CommandFailed(code=RefusalCode.DRAINING, detail="the node takes nothing new", retryable=True)
        if problem is not None:
            return CommandFailed(code=RefusalCode.NOT_READY, detail=problem, retryable=True)
        if order.session_id not in self._rooms and pool.state.claimed + pool.state.held >= pool.limits.slots:
            return CommandFailed(
                code=RefusalCode.FULL, detail=f"all {pool.limits.slots} slots are taken", retryable=True
            )
        return await self._rooms.fill(order)

    async def end(self, command: EndJob) -> JobEnded | CommandFailed:
        """End a job and answer when its process is gone and its last event is in the log.

        Nobody waits for a process that hangs: the served time is fixed already, and SIGKILL is on its way.
        """
        if (outranked := self._outranked(command.term)) is not None:
            return outranked
        call = self._current.get(command.session_id)
        if call is not None and call.job.epoch > command.epoch:
            return CommandFailed(
                code=RefusalCode.STALE_EPOCH, detail=f"epoch {call.job.epoch} of this session runs here"
            )
        if call is None:
            over = self._over.get(command.session_id)
            if over is None or over.epoch != command.epoch:
                return JobEnded(found=False, served_ms=0, process_gone=True)
            return JobEnded(found=True, served_ms=over.served_ms, fault_ms=over.fault_ms, process_gone=True)
        is_stale = call.job.epoch != command.epoch or command.reason == Cause.SUPERSEDED
        call.end(Cause.SUPERSEDED if is_stale else Cause.ENDED, say=command.say)
        gone = True
        try:
            async with asyncio.timeout(NODE_END_S if command.say is None else self._world.limits().kill_s + REAP_S):
                await call.over.wait()
            await call.reported(END_REPORT_S)
        except TimeoutError:
            gone = False
            log.warning("job.will_not_end", session_id=call.job.session_id, pid=call.state.pid)
            await call.tell_served(END_REPORT_S)
        if call.job.epoch != command.epoch:
            return JobEnded(found=False, served_ms=0, process_gone=gone)
        return JobEnded(found=True, served_ms=call.state.served_ms, fault_ms=call.state.fault_ms, process_gone=gone)

    async def describe(self, command: DescribeJob) -> JobDescribed | CommandFailed:
        """Report a job to the log again, and say what it is: the log lost its beginning."""
        call = self._current.get(command.session_id)
        if call is None or call.job.epoch != command.epoch:
            return CommandFailed(
                code=RefusalCode.NO_SUCH_JOB, detail=f"epoch {command.epoch} of this session does not run here"
            )
        log.warning("job.reported_again", session_id=call.job.session_id, epoch=call.job.epoch)
        described = await call.describe(DESCRIBE_REPORT_S)
        if described is None:
            return CommandFailed(
                code=RefusalCode.NOT_REPORTED, detail="the log does not take its events now", retryable=True
            )
        return described

    async def drain(self, command: DrainNode) -> NodeDraining:
        """Take nothing new from now on, and leave when the calls are over; the last command's limit counts."""
        self._start_draining()
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().create_task(self._leave(command.limit_s))
        return NodeDraining(jobs=len(self._calls))

    async def shut_down(self, limit_s: float, hurry: asyncio.Event) -> None:
        """Drain, and return when no job is left.

        Args:
            limit_s: How long calls may go on.
            hurry: End them now.
        """
        self._start_draining()
        log.info("node.draining", jobs=len(self._calls), limit_s=limit_s)
        waits = [asyncio.ensure_future(self._idle.wait()), asyncio.ensure_future(hurry.wait())]
        await asyncio.wait(waits, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        for call in list(self._calls):
            call.end(Cause.DRAINED)
        try:
            async with asyncio.timeout(self._world.limits().kill_s + REAP_S):
                await self._idle.wait()
        except TimeoutError:
            log.error("node.jobs_left", jobs=len(self._calls))

    async def watch(self) -> None:
        """Look at every worker a few times a second, for ever."""
        while True:
            last = self._clock()
            await asyncio.sleep(LOOK_S)
            elapsed = self._clock() - last
            # What a shorter sleep made late is for `announce`, whose next round is near.
            if elapsed >= NODE_RENEW_S and await self._fence_if_lapsed():
                self.changed()
            step = silence_step(elapsed)
            self._world.pool.look(step)
            self._rooms.look(step)
            for call in list(self._calls):
                call.look(step)

    async def announce(self) -> None:
        """Renew the node's entry each second and at each change, for ever; the first waits until it can take a job.

        Raises:
            NameTaken: Another process has the node's name.
        """
        while self._world.pool.problem() is not None:
            self._changed.clear()
            await self._changed.wait()
        self._renewed = self._clock()
        while True:
            self._changed.clear()
            done = await self.announce_now()
            try:
                async with asyncio.timeout(NODE_RENEW_S if done else _ANNOUNCE_AGAIN_S):
                    await self._changed.wait()
                    await asyncio.sleep(_DEBOUNCE_S)
            except TimeoutError:
                pass

    async def announce_now(self) -> bool:
        """Write the node's entry at once; if that fails, `announce` repeats it.

        Where it may have lapsed, the jobs are fenced before; after the write, too, if that took long.
        """
        await self._fence_if_lapsed()
        began = self._clock()
        if not await self._registry.announce(self.state()):
            return False
        await self._fence_if_lapsed()
        meters.RENEWAL_GAP_SECONDS.observe(max(0.0, began - self._renewed))
        self._renewed = max(self._renewed, began)
        return True

    async def withdraw(self) -> None:
        """Say that the node is no more."""
        await self._registry.withdraw(self._facts.node_id)

    def state(self) -> NodeState:
        """The node as the registry shows it."""
        pool = self._world.pool
        workers = pool.state.processes + self._rooms.processes + sum(1 for call in self._calls if call.state.pid)
        return NodeState(
            node_id=self._facts.node_id,
            incarnation=self._facts.incarnation,
            region=self._facts.region,
            slots=pool.limits.slots,
            warm=pool.state.warm,
            busy=pool.state.claimed,
            draining=self._draining,
            load=round(self._load(), 3),
            pid=os.getpid(),
            processes=1 + self._forkservers() + workers,
            started_at=self._facts.started_at,
            jobs=tuple(
                NodeJob(session_id=c.job.session_id, epoch=c.job.epoch, pid=c.state.pid) for c in self._current.values()
            ),
            rooms=self._rooms.ids,
        )

    def _outranked(self, term: int) -> CommandFailed | None:
        """Refuse a scheduler that led before one that was heard already; 0 says nothing."""
        if 0 < term < self._term:
            log.warning("command.stale_term", term=term, heard=self._term)
            return CommandFailed(code=RefusalCode.STALE_TERM, detail=f"term {self._term} was heard", term=self._term)
        self._term = max(self._term, term)
        return None

    async def _leave(self, limit_s: float) -> None:
        await self.shut_down(limit_s, asyncio.Event())
        self._on_drained()

    def _start_draining(self) -> None:
        self._draining = True
        self._world.pool.drain()
        self._rooms.retire("drained", claimed_too=True)
        self.changed()

    async def _fence_if_lapsed(self) -> bool:
        """Fence the jobs if the node's entry may have lapsed, since others may have them; not twice in a moment.

        A machine that wakes up, and NATS that is back, are noticed in several places at once.
        """
        async with self._fencing:
            now = self._clock()
            if now - self._renewed < NODE_LEASE_S or now - self._fenced < _FENCE_S:
                return False
            log.warning("node.was_away", seconds=round(now - self._renewed))
            self._rooms.node_was_away()
            await self._fence_all(_FENCE_S)
            self._fenced = self._clock()
            return True

    async def _fence_all(self, wait_s: float) -> None:
        """Stop every job that the log has given to a newer epoch; a job is asked about until there is an answer.

        Args:
            wait_s: How long to wait for the answers; what is not answered by then is asked on beside everything else.
        """
        for former in self._fences:  # an answer to what was asked before this absence may be out of date
            former.cancel()
        if not self._calls:
            return
        fences = [asyncio.get_running_loop().create_task(self._fence(call)) for call in self._calls]
        self._fences.update(fences)
        for fence in fences:
            fence.add_done_callback(self._fences.discard)
        _, waiting = await asyncio.wait(fences, timeout=wait_s)
        if waiting:
            log.warning("node.jobs_not_fenced", jobs=len(waiting))

    async def _fence(self, call: Call) -> None:
        while not call.over.is_set():
            try:
                call.fence(await self._world.session_log.last_epoch(call.job.session_id, deadline_s=_FENCE_S))
            except LogUnavailable:  # without NATS this is so for every job, for as long as that lasts
                await asyncio.sleep(_FENCE_RETRY_S)
            else:
                return

    def _job_over(self, call: Call) -> None:
        self._calls.discard(call)
        if self._current.get(call.job.session_id) is call:
            del self._current[call.job.session_id]
        if call.job.epoch >= self._over.get(call.job.session_id, _Over()).epoch:
            self._over[call.job.session_id] = _Over(call.job.epoch, call.state.served_ms, call.state.fault_ms)
            self._over.move_to_end(call.job.session_id)
        while len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)
        if not self._calls:
            self._idle.set()
        self.changed()
