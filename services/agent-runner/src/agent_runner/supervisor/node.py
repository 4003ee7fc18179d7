"""One node: starts, watches, fences and drains its calls, as `domain.node` decides."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from agent_runner.domain.node import AssignEffect, EndedJob, EndEffect, NodeJobs, NodeLimits, Refuse
from agent_runner.ports import LogUnavailable
from agent_runner.supervisor.call import Call, World
from agent_runner.supervisor.rooms import PrejoinedRooms
from chassis import logs
from chassis.tasks import Tasks, first_of
from contracts.causes import Cause
from contracts.commands import AssignJob, EndJob
from contracts.deadlines import REAP_S
from contracts.registry import NodeJob, NodeState

_FENCE_S: Final = 2.0
_FENCE_RETRY_S: Final = 0.5
_LONGEST_DRAIN_S: Final = 365 * 24 * 3600  # within what a date can say

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The node's identity, and the readings of its host.

    Attributes:
        load: Share of the host's CPU in use, 0..1.
        forkservers: Processes beside the supervisor and the workers.
    """

    node_id: str
    region: str | None
    started_at: datetime
    load: Callable[[], float]
    forkservers: Callable[[], int]
    incarnation: str = ""
    version: str = ""


class Node:
    """The jobs of this node.

    Attributes:
        changed: Set when the node's entry is no longer current.
    """

    def __init__(self, facts: NodeFacts, world: World, rooms: PrejoinedRooms, changed: asyncio.Event) -> None:
        self.facts = facts
        self.changed = changed
        self.jobs = NodeJobs()
        self._world = world
        self._rooms = rooms
        self._current: dict[str, Call] = {}
        self._calls: set[Call] = set()
        self._fences = Tasks()
        self._idle = asyncio.Event()
        self._idle.set()
        self._drain_since: datetime | None = None
        self._drain_until: datetime | None = None

    def problem(self) -> str | None:
        """Why the node cannot take a job now; None: it can."""
        return self._world.pool.problem()

    def call(self, session_id: str) -> Call | None:
        """The session's call that runs here."""
        return self._current.get(session_id)

    def assign(self, job: AssignJob) -> tuple[AssignEffect, ...]:
        """Decide about a job; the caller performs the effects."""
        limits = self._limits(has_worker=job.session_id in self._rooms)
        self.jobs, effects = self.jobs.assign(job.session_id, job.epoch, limits, term=job.term)
        return effects

    def end(self, command: EndJob) -> tuple[EndEffect]:
        """Decide about the end of a job; the caller performs the effects."""
        superseded = command.reason == Cause.SUPERSEDED
        self.jobs, effects = self.jobs.end(command.session_id, command.epoch, term=command.term, superseded=superseded)
        return effects

    def refuse_room(self, session_id: str) -> Refuse | None:
        """Why the node cannot prejoin this room now."""
        return self.jobs.refuse_room(self._limits(), is_known=session_id in self._rooms)

    def start(self, job: AssignJob) -> None:
        """Start the job, with the worker that waits in its room if there is one."""
        waiting = self._rooms.take(job.session_id)
        if waiting is None:
            self._rooms.evict()
        call = self._current[job.session_id] = Call(job, self._world, self._call_ended)
        self._calls.add(call)
        self._idle.clear()
        call.begin(waiting)

    def look(self, silence_s: float) -> None:
        """Count silence and time; called a few times a second."""
        self._world.pool.look(silence_s)
        self._rooms.look(silence_s)
        for call in list(self._calls):
            call.look(silence_s)

    async def fence(self) -> None:
        """End every job that the log has given to a newer epoch, and every prejoined room.

        It asks the log about each job until the log answers; after 2 s it continues in the background.
        """
        self._rooms.node_was_away()
        await self._fences.cancel()  # their answers may be older than this absence
        fences = [self._fences.spawn(self._fence(call)) for call in self._calls]
        if not fences:
            return
        _, waiting = await asyncio.wait(fences, timeout=_FENCE_S)
        if waiting:
            log.warning("node.jobs_not_fenced", jobs=len(waiting))

    def start_draining(self) -> int:
        """Take no new job from now on; returns the number of calls that still run."""
        self._drain_since = self._drain_since or datetime.now(UTC)
        self.jobs = replace(self.jobs, draining=True)
        self._world.pool.drain()
        self._rooms.retire("drained", claimed_too=True)
        self.changed.set()
        return len(self._calls)

    async def shut_down(self, limit_s: float, hurry: asyncio.Event) -> None:
        """Drain, and return when no job is left.

        Args:
            limit_s: How long calls may go on, from this call of the last `shut_down`.
            hurry: Set: end them now.
        """
        self._drain_until = datetime.now(UTC) + timedelta(seconds=min(limit_s, _LONGEST_DRAIN_S))
        log.info("node.draining", jobs=self.start_draining(), limit_s=limit_s)
        await first_of(self._idle.wait(), hurry.wait(), timeout_s=limit_s)
        for call in list(self._calls):
            call.end(Cause.DRAINED)
        try:
            async with asyncio.timeout(self._world.limits(None).kill_s + REAP_S):
                await self._idle.wait()
        except TimeoutError:
            log.error("node.jobs_left", jobs=len(self._calls))

    def state(self) -> NodeState:
        """The node's entry."""
        pool = self._world.pool
        workers = pool.state.processes + self._rooms.processes + sum(1 for call in self._calls if call.state.worker.pid)
        return NodeState(
            node_id=self.facts.node_id,
            incarnation=self.facts.incarnation,
            region=self.facts.region,
            slots=pool.limits.slots,
            warm=pool.state.warm,
            busy=pool.state.jobs,
            draining=self.jobs.draining,
            drain_since=self._drain_since,
            drain_until=self._drain_until,
            version=self.facts.version,
            load=round(self.facts.load(), 3),
            pid=os.getpid(),
            processes=1 + self.facts.forkservers() + workers,
            started_at=self.facts.started_at,
            jobs=tuple(
                NodeJob(session_id=session_id, epoch=call.job.epoch, pid=call.state.worker.pid)
                for session_id, call in self._current.items()
            ),
            rooms=self._rooms.ids,
            opens_words=True,
        )

    def _limits(self, *, has_worker: bool = False) -> NodeLimits:
        pool = self._world.pool
        not_ready = None if has_worker else pool.problem()
        return NodeLimits(pool.limits.slots, pool.state.jobs, pool.state.held, not_ready)

    async def _fence(self, call: Call) -> None:
        while not call.ended.is_set():
            try:
                call.fence(await self._world.session_log.last_epoch(call.job.session_id, deadline_s=_FENCE_S))
            except LogUnavailable:  # without NATS every job fails like this, until NATS is back
                await asyncio.sleep(_FENCE_RETRY_S)
            else:
                return

    def _call_ended(self, call: Call) -> None:
        session_id = call.job.session_id
        self._calls.discard(call)
        if self._current.get(session_id) is call:
            del self._current[session_id]
        job = EndedJob(call.job.epoch, call.state.served_ms, call.state.fault_ms)
        self.jobs = self.jobs.job_ended(session_id, job)
        if not self._calls:
            self._idle.set()
        self.changed.set()
