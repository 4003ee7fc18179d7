"""The pool of idle workers: how many to fork, which to put away. Pure; the shell carries the plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEADY_S = 5.0
"""A worker that lived this long was sound: its death says nothing about the next one's."""

REFILL_AFTER_S = 0.5
"""How long a fork waits for a call that is starting: both want the processors, and a caller hears only one."""

FIRST_DELAY_S = 0.5
MAX_DELAY_S = 30.0


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What the settings say.

    Attributes:
        slots: Workers of this node in all, idle or in a call.
        target: Idle workers to hold ready.
        max_age_s: Age at which an idle worker is replaced: its TLS sessions and memory have gone stale.
        start_s: Time a worker has from the fork to `Ready`.
        silence_s: Time an idle worker may be silent.
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
        pid: Its process.
        age_s: Time since the fork.
        ready: It said `Ready`: a pipeline is built.
        silent_s: Time since its last message, our own pauses taken off.
        stale: It was made with a configuration that is no more.
    """

    pid: int
    age_s: float
    ready: bool
    silent_s: float
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Backoff:
    """Restraint after workers that died at once: a broken configuration must not become a fork bomb.

    Attributes:
        failures: Early deaths in a row.
        until: Monotonic instant before which nothing is forked.
    """

    failures: int = 0
    until: float = 0.0

    def after_death(self, now: float, *, lived_s: float) -> Backoff:
        """An idle worker died by itself: the first early death costs no delay, each further one doubles it."""
        if lived_s >= STEADY_S:
            return Backoff()
        failures = self.failures + 1
        delay = 0.0 if failures == 1 else min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures - 2, 16))
        return Backoff(failures, max(self.until, now + delay))

    def after_look(self, idle: Sequence[IdleWorker]) -> Backoff:
        """A worker that is ready and has lasted shows that workers can live: no restraint any more."""
        return Backoff() if any(w.ready and w.age_s >= STEADY_S for w in idle) else self


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now: fork so many, and end these idle workers."""

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
    """Decide how the pool becomes what it should be; idle and busy workers together never exceed the slots.

    Args:
        limits: The settings.
        idle: Workers without a job that are not being ended.
        busy: Slots taken: by jobs, with a worker or waiting for one, and by idle workers that are being ended.
        waiting: Jobs that wait for a worker; they count in `busy`, so an idle worker for each takes no further slot.
        draining: Nothing new is taken, so idle workers are of no use.
        backoff: The restraint after early deaths.
        now: The monotonic clock, in seconds.
        starting: A call took its worker just now: what can wait for it does.
    """
    target = 0 if draining else limits.target
    wanted = min(target, max(0, limits.slots - busy)) + waiting
    retire = [w.pid for w in idle if _is_hung(w, limits)]
    sound = [w for w in idle if w.pid not in retire]
    warm = sum(1 for w in sound if w.ready)
    aged = sorted((w for w in sound if w.ready and (w.stale or w.age_s >= limits.max_age_s)), key=lambda w: -w.age_s)
    if aged and (warm > 1 or wanted <= 1):  # one at a time, and while others are warm: its replacement takes a moment
        retire.append(aged[0].pid)
        sound.remove(aged[0])
    # What is too many goes newest and unready first.
    sound.sort(key=lambda w: (not w.ready, -w.age_s))
    retire += [w.pid for w in sound[wanted:]]
    fork = min(wanted - len(sound), limits.slots - busy + waiting - len(idle))
    if now < backoff.until or (starting and warm and not waiting):
        fork = 0
    elif backoff.failures:
        fork = min(fork, 1 - sum(1 for w in sound if not w.ready))  # one trial at a time
    return Plan(fork=max(0, fork), retire=tuple(retire))


def _is_hung(worker: IdleWorker, limits: PoolLimits) -> bool:
    return worker.silent_s >= limits.silence_s if worker.ready else worker.age_s >= limits.start_s
