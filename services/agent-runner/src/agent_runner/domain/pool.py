"""The pool of idle workers: a frozen state and its steps, and the plan of how many to fork and which to retire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from agent_runner.domain.pulse import MAX_STEP_S, TWO_BEATS_S

STEADY_S: Final = 5.0
"""A worker that lived this long started well: its death does not count as an early death."""

REFILL_AFTER_S: Final = 0.5
"""How long a fork waits for a call that is starting: both need the processors, and the caller hears only the call."""

FIRST_DELAY_S: Final = 0.5
MAX_DELAY_S: Final = 30.0

_BROKEN_AFTER: Final = 3  # early deaths in a row after which the node is not ready


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """The settings of the pool.

    Attributes:
        slots: All workers of this node, idle or in a call.
        target: Idle workers to keep ready.
        max_age_s: Age at which an idle worker is replaced: its TLS sessions and memory are stale by then.
        start_s: Time from the fork to `Ready`.
        silence_s: Silence after which an idle worker counts as hung.
    """

    slots: int
    target: int
    max_age_s: float
    start_s: float
    silence_s: float


@dataclass(frozen=True, slots=True)
class IdleWorker:
    """One worker without a job.

    Attributes:
        born: When it was forked, in monotonic seconds.
        ready: Its pipeline is built.
        silent_s: Time since its last message, without the supervisor's own pauses.
        stale: It was forked with a former configuration.
    """

    pid: int
    born: float
    ready: bool = False
    silent_s: float = 0.0
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays forks after early deaths: a broken configuration must not become a fork bomb.

    Attributes:
        failures: Early deaths in a row.
        until: Monotonic instant before which no worker is forked.
    """

    failures: int = 0
    until: float = 0.0

    def after_death(self, now: float, *, lived_s: float) -> "Backoff":
        """Count the death of an idle worker: the first early one causes no delay, each further one doubles it."""
        if lived_s >= STEADY_S:
            return Backoff()
        failures = self.failures + 1
        delay = 0.0 if failures == 1 else min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 2, 16))
        return Backoff(failures, max(self.until, now + delay))

    def after_look(self, idle: Sequence[IdleWorker], now: float) -> "Backoff":
        """Reset once a worker is ready and has lived long enough."""
        return Backoff() if any(w.ready and now - w.born >= STEADY_S for w in idle) else self


@dataclass(frozen=True, slots=True)
class Plan:
    """Fork so many workers, and retire these."""

    fork: int
    retire: tuple[int, ...]


def plan(
    limits: PoolLimits,
    idle: Sequence[IdleWorker],
    *,
    busy: int,
    waiting: int,
    draining: bool,
    backoff: Backoff,
    now: float,
    starting: bool = False,
) -> Plan:
    """Decide what brings the pool to its target; idle and busy workers together never exceed the slots.

    Args:
        idle: Workers without a job that are not being retired.
        busy: Slots held by jobs (with a worker or waiting for one), by rooms, and by workers that are being retired.
        waiting: Jobs that wait for a worker; they count in `busy`, so an idle worker for each takes no further slot.
        draining: The node takes no new job and needs no idle workers.
        now: Monotonic seconds.
        starting: A call took its worker just now: postpone forks that no job waits for.
    """
    target = 0 if draining else limits.target
    wanted = min(target, max(0, limits.slots - busy)) + waiting
    retire = [w.pid for w in idle if _is_hung(w, limits, now)]
    sound = [w for w in idle if w.pid not in retire]
    warm = sum(1 for w in sound if w.ready)
    aged = sorted((w for w in sound if w.ready and (w.stale or now - w.born >= limits.max_age_s)), key=lambda w: w.born)
    if aged and (warm > 1 or wanted <= 1):  # one at a time, and while others are warm: its replacement takes a moment
        retire.append(aged[0].pid)
        sound.remove(aged[0])
    # Retire the surplus: workers that are not ready first, then the youngest.
    sound.sort(key=lambda w: (not w.ready, w.born))
    retire += [w.pid for w in sound[wanted:]]
    fork = min(wanted - len(sound), limits.slots - busy + waiting - len(idle))
    if now < backoff.until or (starting and warm and not waiting):
        fork = 0
    elif backoff.failures:
        fork = min(fork, 1 - sum(1 for w in sound if not w.ready))  # one trial at a time
    return Plan(fork=max(0, fork), retire=tuple(retire))


def _is_hung(worker: IdleWorker, limits: PoolLimits, now: float) -> bool:
    return worker.silent_s >= limits.silence_s if worker.ready else now - worker.born >= limits.start_s


@dataclass(frozen=True, slots=True)
class Fork:
    """`forked` or `fork_failed` answers."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Kill this worker."""

    worker: IdleWorker


@dataclass(frozen=True, slots=True)
class Give:
    """Give this worker to the asker, or to the job that has waited longest (`to_waiter`)."""

    pid: int
    to_waiter: bool = False


@dataclass(frozen=True, slots=True)
class Crashed:
    """An idle worker died although it was not retired."""

    worker: IdleWorker


PoolEffect: TypeAlias = Fork | Retire | Give | Crashed
PoolStep: TypeAlias = tuple["PoolState", tuple[PoolEffect, ...]]


@dataclass(frozen=True, slots=True)
class PoolState:
    """The idle workers of a node, and the use of its slots.

    Each method takes one event and returns the next state, and the effects in the order in which they are performed.
    Instants (`now`, too) are monotonic seconds; `waiting` is the number of jobs that wait for a worker.

    Attributes:
        idle: By process.
        retiring: Killed workers whose processes still exist.
        jobs: Slots of jobs.
        held: Slots of prejoined rooms.
        ever_ready: A worker has been ready once.
        judge_from: Before this instant an idle worker's silence may be the supervisor's own.
        starting_until: A call that has just taken a worker needs the processors until then.
    """

    idle: Mapping[int, IdleWorker] = field(default_factory=dict[int, IdleWorker])
    retiring: frozenset[int] = frozenset()
    jobs: int = 0
    held: int = 0
    backoff: Backoff = field(default_factory=Backoff)
    draining: bool = False
    ever_ready: bool = False
    judge_from: float = 0.0
    starting_until: float = 0.0

    @property
    def warm(self) -> int:
        """Idle workers that are ready."""
        return sum(1 for worker in self.idle.values() if worker.ready)

    @property
    def processes(self) -> int:
        """Processes of workers without a job."""
        return len(self.idle) + len(self.retiring)

    def problem(self, limits: PoolLimits) -> str | None:
        """Why the node cannot take a job now; None: it can."""
        if self.warm:
            return None
        if self.backoff.failures >= _BROKEN_AFTER:
            return f"{self.backoff.failures} workers in a row died as they started; the node's log has the reason"
        if not self.ever_ready and limits.target > 0:
            return "no worker has been ready yet"
        return None

    def config_changed(self) -> "PoolState":
        """The present workers have a former configuration."""
        return replace(self, idle={pid: replace(w, stale=True) for pid, w in self.idle.items()})

    def forked(self, pid: int, born: float) -> "PoolState":
        """`born`: when the fork began."""
        return replace(self, idle={**self.idle, pid: IdleWorker(pid, born)})

    def fork_failed(self, now: float) -> "PoolState":
        return replace(self, backoff=self.backoff.after_death(now, lived_s=0.0))

    def spoke(self, pid: int, now: float, *, is_ready: bool, waiting: int) -> PoolStep:
        """A worker sent a message; `is_ready`: it was `Ready`."""
        worker = self.idle.get(pid)
        if worker is None:
            return self, ()
        gets_ready = is_ready and not worker.ready
        worker = replace(worker, silent_s=0.0, ready=worker.ready or is_ready)
        state = replace(self, idle={**self.idle, pid: worker}, ever_ready=self.ever_ready or gets_ready)
        return state._give(worker, now, to_waiter=True) if gets_ready and waiting else (state, ())

    def died(self, pid: int, now: float) -> PoolStep:
        worker = self.idle.get(pid)
        state = replace(self._without(pid), retiring=self.retiring - {pid})
        if worker is None or self.draining:
            return state, ()
        backoff = self.backoff.after_death(now, lived_s=now - worker.born)
        return replace(state, backoff=backoff), (Crashed(worker),)

    def looked(self, silence_s: float, now: float) -> "PoolState":
        """Time has passed, with so much silence of each worker; comes a few times a second."""
        # A pause of the supervisor may have been the workers', too: their beats arrive soon.
        judge_from = now + TWO_BEATS_S if silence_s >= MAX_STEP_S else self.judge_from
        idle = {pid: replace(w, silent_s=w.silent_s + silence_s) for pid, w in self.idle.items()}
        return replace(self, idle=idle, judge_from=judge_from)

    def worker_asked(self, now: float, *, may_be_stale: bool) -> PoolStep:
        """Give a job or room the oldest ready worker; a stale one only if all are stale and the asker accepts it.

        If all have missed two beats, retire one for a new fork: a fork takes 25 ms, a hung worker costs the caller
        seconds.
        """
        ready = [w for w in self.idle.values() if w.ready and (may_be_stale or not w.stale)]
        if not ready:
            return self, ()
        chosen = min(ready, key=lambda w: (w.silent_s >= TWO_BEATS_S, w.stale, w.born))
        is_silent = chosen.silent_s >= TWO_BEATS_S and now >= self.judge_from
        return self._retire(chosen) if is_silent else self._give(chosen, now)

    def woke(self, now: float, limits: PoolLimits, *, waiting: int) -> PoolStep:
        """Something changed: carry out the plan."""
        idle = list(self.idle.values())
        state = replace(self, backoff=self.backoff.after_look(idle, now))
        todo = plan(
            limits,
            idle,
            busy=state.jobs + state.held + len(state.retiring),
            waiting=waiting,
            draining=state.draining,
            backoff=state.backoff,
            now=now,
            starting=now < state.starting_until,
        )
        effects: list[PoolEffect] = []
        for pid in todo.retire:
            state, retired = state._retire(state.idle[pid])
            effects += retired
        return state, (*effects, Fork()) if todo.fork else tuple(effects)

    def _give(self, worker: IdleWorker, now: float, *, to_waiter: bool = False) -> PoolStep:
        state = replace(self._without(worker.pid), starting_until=now + REFILL_AFTER_S)
        return state, (Give(worker.pid, to_waiter),)

    def _retire(self, worker: IdleWorker) -> PoolStep:
        return replace(self._without(worker.pid), retiring=self.retiring | {worker.pid}), (Retire(worker),)

    def _without(self, pid: int) -> "PoolState":
        return replace(self, idle={other: worker for other, worker in self.idle.items() if other != pid})
