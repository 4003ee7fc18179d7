"""Keeps idle workers ready: carries out `domain.pool`'s plan and hands workers to jobs."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from agent_runner.domain.link import BEAT_S, Ready, ToSupervisor
from agent_runner.domain.pool import REFILL_AFTER_S, Backoff, IdleWorker, PoolLimits, plan
from agent_runner.domain.pulse import MAX_STEP_S
from agent_runner.ports import ForkFailed, Forks, WorkerProcess
from agent_runner.supervisor import meters
from chassis import logs

_BROKEN_AFTER: Final = 3  # early deaths in a row that make the node not ready
_TWO_BEATS_S: Final = 2 * BEAT_S

log = logs.get_logger(__name__)


class NoWorker(Exception):
    """No worker got ready for a job in time."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A worker for one job.

    Attributes:
        path: "warm" when it was waiting, "fork" when the job had to wait for it, "prejoined" when it was in the room.
        waited_ms: How long.
    """

    process: WorkerProcess
    path: Literal["warm", "fork", "prejoined"]
    waited_ms: int


class _Idle:
    """One idle worker, listening to it."""

    process: WorkerProcess

    def __init__(self, pool: Pool, now: float) -> None:
        self.born = now
        self.ready = False
        self.stale = False
        self.silent_s = 0.0
        self._pool = pool

    def on_message(self, message: ToSupervisor) -> None:
        self.silent_s = 0.0
        if isinstance(message, Ready) and not self.ready:
            self.ready = True
            self._pool.became_ready(self)

    def on_gone(self) -> None:
        self._pool.lost(self)


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
        """Empty; `run` fills it.

        Args:
            on_change: Called when a count changed.
            floor: Idle workers to hold ready at this hour, should that be more than the target.
            clock: Monotonic seconds.
        """
        self.limits = limits
        self._forks = forks
        self._on_change = on_change
        self._floor = floor
        self._clock = clock
        self._idle: dict[int, _Idle] = {}
        self._retiring: set[int] = set()
        self._waiters: deque[asyncio.Future[WorkerProcess]] = deque()
        self._claimed = 0
        self._held = 0
        self._judge_from = 0.0  # until then an idle worker's silence may be our own
        self._starting_until = 0.0  # a call that took a worker has the processors until then
        self._backoff = Backoff()
        self._draining = False
        self._ever_ready = False
        self._wake = asyncio.Event()

    @property
    def warm(self) -> int:
        """Idle workers with a pipeline built."""
        return sum(1 for worker in self._idle.values() if worker.ready)

    @property
    def claimed(self) -> int:
        """Slots that jobs hold."""
        return self._claimed

    @property
    def held(self) -> int:
        """Slots of workers that wait in rooms, or leave them."""
        return self._held

    @property
    def processes(self) -> int:
        """Processes of workers without a job."""
        return len(self._idle) + len(self._retiring)

    def problem(self) -> str | None:
        """Why no job can be taken now; None when one can."""
        if self.warm:
            return None
        if self._backoff.failures >= _BROKEN_AFTER:
            return f"{self._backoff.failures} workers in a row died as they started; the node's log says why"
        if not self._ever_ready and self.limits.target > 0:
            return "no worker has been ready yet"
        return None

    def claim(self) -> None:
        """Take a slot for a job, until `release`."""
        self._claimed += 1
        self._changed()

    def release(self) -> None:
        """The job's worker is gone."""
        self._claimed -= 1
        self._changed()

    def hold(self) -> None:
        """Take a slot for a worker that waits in a room, until `unhold`."""
        self._held += 1
        self._changed()

    def unhold(self) -> None:
        """That worker is gone, or a job has it."""
        self._held -= 1
        self._changed()

    def drain(self) -> None:
        """Let the idle workers go; only jobs that wait already still get one."""
        self._draining = True
        self._changed()

    def renew(self) -> None:
        """Replace the idle workers one by one: they were made with a configuration that is no more."""
        for worker in self._idle.values():
            worker.stale = True
        self._wake.set()

    async def take(self, timeout_s: float, *, may_be_stale: bool = True) -> Taken:
        """A ready worker for a job that has claimed its slot; its listener is the caller's to set, before any await.

        Args:
            may_be_stale: Rather one with the former configuration than none at once.

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
        self._starting_until = self._clock() + REFILL_AFTER_S
        return Taken(process, "warm" if path == "warm" else "fork", round((self._clock() - began) * 1000))

    def look(self, silence_s: float) -> None:
        """Count silence; called a few times a second, which also ends what forks wait for."""
        if silence_s >= MAX_STEP_S:  # we stood still, and perhaps they did, too: their beats are on the way
            self._judge_from = self._clock() + _TWO_BEATS_S
        for worker in self._idle.values():
            worker.silent_s += silence_s
        self._wake.set()

    async def run(self) -> None:
        """Keep the pool as planned, for ever; whatever it does is done here, one step after the other."""
        while True:
            self._wake.clear()
            if await self._step():
                continue
            await self._wake.wait()

    async def close(self, deadline_s: float) -> None:
        """Kill the idle workers and wait until they are gone."""
        self._draining = True
        for worker in self._idle.values():
            worker.process.kill()
        async with asyncio.timeout(deadline_s):
            while self._idle or self._retiring:
                self._wake.clear()
                await self._wake.wait()

    def became_ready(self, worker: _Idle) -> None:
        """A worker's pipeline is built: the job that has waited longest gets it."""
        self._ever_ready = True
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                del self._idle[worker.process.pid]
                waiter.set_result(worker.process)
                break
        self._changed()

    def lost(self, worker: _Idle) -> None:
        """An idle worker's process is over."""
        pid = worker.process.pid
        if pid in self._retiring:
            self._retiring.discard(pid)
        elif self._idle.pop(pid, None) is not None and not self._draining:
            now = self._clock()
            lived_s = now - worker.born
            self._backoff = self._backoff.after_death(now, lived_s=lived_s)
            meters.IDLE_DEATHS.inc()
            log.error(
                "pool.worker_died",
                pid=pid,
                lived_s=round(lived_s, 2),
                was_ready=worker.ready,
                early_deaths=self._backoff.failures,
            )
        self._changed()

    async def _step(self) -> bool:
        """Carry out the present plan; True when there may be more to do at once."""
        now = self._clock()
        idle = [
            IdleWorker(pid=pid, age_s=now - w.born, ready=w.ready, silent_s=w.silent_s, stale=w.stale)
            for pid, w in self._idle.items()
        ]
        self._backoff = self._backoff.after_look(idle)
        todo = plan(
            replace(self.limits, target=max(self.limits.target, self._floor())),
            idle,
            busy=self._claimed + self._held + len(self._retiring),
            waiting=sum(1 for w in self._waiters if not w.done()),
            draining=self._draining,
            backoff=self._backoff,
            now=now,
            starting=now < self._starting_until,
        )
        for pid in todo.retire:
            self._retire(self._idle[pid], now)
        if todo.fork:
            await self._fork()
        return bool(todo.fork)

    def _retire(self, worker: _Idle, now: float) -> None:
        pid = worker.process.pid
        del self._idle[pid]
        self._retiring.add(pid)
        meters.IDLE_RETIRED.inc()
        log.info("pool.worker_retired", pid=pid, silent_s=round(worker.silent_s, 1), age_s=round(now - worker.born))
        worker.process.kill()

    async def _fork(self) -> None:
        worker = _Idle(self, self._clock())
        try:
            worker.process = await self._forks.fork(worker)
        except ForkFailed as error:
            now = self._clock()
            self._backoff = self._backoff.after_death(now, lived_s=0.0)
            log.error("pool.fork_failed", error=str(error), early_deaths=self._backoff.failures)
            return
        self._idle[worker.process.pid] = worker
        self._changed()

    def _take_warm(self, *, may_be_stale: bool) -> WorkerProcess | None:
        """The oldest ready worker, but one that is out of date only when there is no other.

        If all missed two beats, one of them makes way for a fork, which takes 25 ms; a hung one costs a caller seconds.
        """
        ready = [w for w in self._idle.values() if w.ready and (may_be_stale or not w.stale)]
        if not ready:
            return None
        chosen = min(ready, key=lambda w: (w.silent_s >= _TWO_BEATS_S, w.stale, w.born))
        now = self._clock()
        if chosen.silent_s >= _TWO_BEATS_S and now >= self._judge_from:
            self._retire(chosen, now)
            return None
        del self._idle[chosen.process.pid]
        self._changed()
        return chosen.process

    async def _wait(self) -> WorkerProcess:
        waiter: asyncio.Future[WorkerProcess] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._changed()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().kill()  # handed over in the same instant
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._changed()

    def _changed(self) -> None:
        self._wake.set()
        meters.WORKERS.labels("warm").set(self.warm)
        meters.WORKERS.labels("starting").set(len(self._idle) - self.warm)
        meters.WORKERS.labels("busy").set(self._claimed)
        meters.SLOTS_FREE.set(max(0, self.limits.slots - self._claimed))  # a room makes way for a job
        self._on_change()
