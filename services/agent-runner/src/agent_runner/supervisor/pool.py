"""Keeps warm workers ready: feeds `domain.pool` with events, performs its effects, and gives workers to jobs."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from agent_runner.domain import pool as domain
from agent_runner.domain.pool import PoolEffect, PoolLimits, PoolState, PoolStep
from agent_runner.link.messages import Ready, ToSupervisor
from agent_runner.ports import ForkFailed, Forks, WorkerProcess
from agent_runner.supervisor import meters
from chassis import logs

log = logs.get_logger(__name__)


class NoWorker(Exception):
    """No worker was ready for a job in time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker for one job.

    Attributes:
        path: "warm" if it was ready, "fork" if the job had to wait for it, "prejoined" if it was in the room.
        waited_ms: How long the job waited.
    """

    process: WorkerProcess
    path: Literal["warm", "fork", "prejoined"]
    waited_ms: int


class _Listener:
    """Listens to one idle worker."""

    pid = 0

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool

    def on_message(self, message: ToSupervisor) -> None:
        self._pool.spoke(self.pid, is_ready=isinstance(message, Ready))

    def on_gone(self) -> None:
        self._pool.died(self.pid)


class Pool:
    """The idle workers of a node, and the count of its slots."""

    def __init__(
        self,
        forks: Forks,
        limits: PoolLimits,
        *,
        on_change: Callable[[], None],
        floor: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`run` fills the pool.

        Args:
            on_change: Called when a count changed.
            floor: Idle workers to keep ready at this hour, if that is more than the target.
            clock: Monotonic seconds.
        """
        self.limits = limits
        self.state = PoolState()
        self._forks = forks
        self._on_change = on_change
        self._floor = floor
        self._clock = clock
        self._processes: dict[int, WorkerProcess] = {}
        self._waiters: deque[asyncio.Future[WorkerProcess]] = deque()
        self._wake = asyncio.Event()

    def problem(self) -> str | None:
        """Why the node cannot take a job now; None: it can."""
        return self.state.problem(self.limits)

    def change_slots(self, *, jobs: int = 0, rooms: int = 0) -> None:
        """Take (+1) or release (-1) slots of jobs and prejoined rooms."""
        self._become(replace(self.state, jobs=self.state.jobs + jobs, held=self.state.held + rooms))

    def drain(self) -> None:
        """Retire the idle workers; from now on only jobs that already wait get one."""
        self._become(replace(self.state, draining=True))

    def renew(self) -> None:
        """Replace the idle workers one by one: the configuration has changed."""
        self._become(self.state.config_changed())
        self._wake.set()

    async def take(self, timeout_s: float, *, may_be_stale: bool = True) -> Taken:
        """A ready worker for a job that holds its slot. The caller sets its listener before any await.

        Args:
            may_be_stale: Prefer a worker with the former configuration to waiting for one.

        Raises:
            NoWorker: None got ready in time.
        """
        began = self._clock()
        process, path = self._take_warm(may_be_stale=may_be_stale), "warm"
        try:
            async with asyncio.timeout(timeout_s):
                while process is None or process.is_gone:
                    process, path = await self._wait(), "fork"
        except TimeoutError:
            raise NoWorker(f"no worker got ready in {timeout_s:g} s") from None
        return Taken(process, "warm" if path == "warm" else "fork", round((self._clock() - began) * 1000))

    def look(self, silence_s: float) -> None:
        """Count silence; called a few times a second. It also wakes `run`, whose forks may have waited."""
        self._become(self.state.looked(silence_s, self._clock()))
        self._wake.set()

    def spoke(self, pid: int, *, is_ready: bool) -> None:
        self._take_step(self.state.spoke(pid, self._clock(), is_ready=is_ready, waiting=self._waiting()))

    def died(self, pid: int) -> None:
        self._processes.pop(pid, None)
        self._take_step(self.state.died(pid, self._clock()))

    async def run(self) -> None:
        """Keep the pool at its target: the only place that forks, one worker after the other."""
        while True:
            self._wake.clear()
            limits = replace(self.limits, target=max(self.limits.target, self._floor()))
            room = 0 if self.state.draining else max(0, limits.slots - self.state.jobs)
            meters.WARM_TARGET.set(min(limits.target, room))
            if domain.Fork() in self._take_step(self.state.woke(self._clock(), limits, waiting=self._waiting())):
                await self._fork()
            else:
                await self._wake.wait()

    async def close(self, deadline_s: float) -> None:
        """Kill the idle workers and wait until they are gone."""
        self._become(replace(self.state, draining=True))
        for pid in self.state.idle:
            self._processes[pid].kill()
        async with asyncio.timeout(deadline_s):
            while self.state.processes:
                self._wake.clear()
                await self._wake.wait()

    def _become(self, state: PoolState) -> None:
        self._take_step((state, ()))

    def _take_step(self, step: PoolStep) -> tuple[PoolEffect, ...]:
        before = self._counts()
        self.state, effects = step
        for effect in effects:
            self._perform(effect)
        if self._counts() != before:
            self._changed()
        return effects

    def _perform(self, effect: PoolEffect) -> None:
        match effect:
            case domain.Retire(worker):
                age_s = round(self._clock() - worker.born)
                log.info("pool.worker_retired", pid=worker.pid, silent_s=round(worker.silent_s, 1), age_s=age_s)
                meters.IDLE_RETIRED.inc()
                self._processes[worker.pid].kill()
            case domain.Give(pid, to_waiter=True):
                next(waiter for waiter in self._waiters if not waiter.done()).set_result(self._processes.pop(pid))
            case domain.Crashed(worker):
                meters.IDLE_DEATHS.inc()
                log.error(
                    "pool.worker_died",
                    pid=worker.pid,
                    lived_s=round(self._clock() - worker.born, 2),
                    was_ready=worker.ready,
                    early_deaths=self.state.backoff.failures,
                )
            case domain.Give() | domain.Fork():
                pass  # `_take_warm` and `run` perform them

    async def _fork(self) -> None:
        born, listener = self._clock(), _Listener(self)
        try:
            process = await self._forks.fork(listener)
        except ForkFailed as error:
            self._become(self.state.fork_failed(self._clock()))
            log.error("pool.fork_failed", error=str(error), early_deaths=self.state.backoff.failures)
            return
        listener.pid = process.pid
        self._processes[process.pid] = process
        self._become(self.state.forked(process.pid, born))

    def _take_warm(self, *, may_be_stale: bool) -> WorkerProcess | None:
        for effect in self._take_step(self.state.worker_asked(self._clock(), may_be_stale=may_be_stale)):
            if isinstance(effect, domain.Give):
                return self._processes.pop(effect.pid)
        return None

    async def _wait(self) -> WorkerProcess:
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._wake.set()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().kill()  # it got its worker in the same instant
            raise
        finally:
            self._waiters.remove(waiter)
            self._wake.set()

    def _waiting(self) -> int:
        return sum(1 for waiter in self._waiters if not waiter.done())

    def _counts(self) -> tuple[object, ...]:
        state = self.state
        return state.warm, len(state.idle), state.retiring, state.jobs, state.held, state.draining

    def _changed(self) -> None:
        self._wake.set()
        state = self.state
        meters.WORKERS.labels("warm").set(state.warm)
        meters.WORKERS.labels("starting").set(len(state.idle) - state.warm)
        meters.WORKERS.labels("busy").set(state.jobs)
        meters.SLOTS_FREE.set(max(0, self.limits.slots - state.jobs))  # prejoined rooms make way for jobs
        self._on_change()
