"""The CPUs and memory that this node may use, and the CPU load; a container's limits apply before the machine's."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from agent_runner.domain.capacity import (
    Capacity,
    cgroup_path,
    cpu_quota,
    least,
    lineage,
    memory_limit,
    usage_us,
)

_WINDOW_S: Final = 15.0
"""Averaging window of the load, which placement reads: a short burst, such as a fork, must not change it much."""

_CGROUPS: Final = Path("/sys/fs/cgroup")
_OWN: Final = Path("/proc/self/cgroup")


class ControlGroups:
    """The control groups (v2) of this process; none on a host without cgroup v2.

    Args:
        root: Where cgroup v2 is mounted.
        own: /proc/self/cgroup. In a container it may name a path of the host that is not mounted here.
    """

    def __init__(self, root: Path = _CGROUPS, own: Path = _OWN) -> None:
        path = cgroup_path(_read(own))
        self._folders = [] if path is None else [root / part for part in lineage(path) if (root / part).is_dir()]

    def capacity(self) -> Capacity:
        """The smallest limits of the machine and all groups."""
        cpus = float(len(os.sched_getaffinity(0)))
        quota = least(cpu_quota(_read(folder / "cpu.max")) for folder in self._folders)
        memory = least(memory_limit(_read(folder / "memory.max")) for folder in self._folders)
        return Capacity(cpus if quota is None else min(cpus, quota), None if memory is None else int(memory))

    def cpu_quotas(self) -> list[tuple[Path, float]]:
        """The cpu.stat and the quota, in CPUs, of each group that has a quota."""
        found = ((folder / "cpu.stat", cpu_quota(_read(folder / "cpu.max"))) for folder in self._folders)
        return [(stat, quota) for stat, quota in found if quota is not None]


class CpuLoad:
    """Share of the CPU time in use, averaged over about 15 s: of the machine or of a quota, whichever is higher."""

    def __init__(
        self,
        stat: Path = Path("/proc/stat"),
        clock: Callable[[], float] = time.monotonic,
        groups: ControlGroups | None = None,
    ) -> None:
        self._stat = stat
        self._clock = clock
        self._quotas = (groups or ControlGroups()).cpu_quotas()
        self._at = clock()
        self._busy, self._total = _cpu_times(stat)
        self._used_us = self._usage()
        self._load = 0.0

    def __call__(self) -> float:
        """0..1; measured at most once a second."""
        now = self._clock()
        passed_s = now - self._at
        if passed_s < 1.0:
            return self._load
        busy, total = _cpu_times(self._stat)
        used_us = self._usage()
        shares = [
            (after - before) / 1e6 / (passed_s * quota)
            for (_, quota), before, after in zip(self._quotas, self._used_us, used_us, strict=True)
        ]
        if total > self._total:
            shares.append((busy - self._busy) / (total - self._total))
        if shares:
            weight = min(1.0, passed_s / _WINDOW_S)
            self._load += weight * (min(1.0, max(0.0, *shares)) - self._load)
        self._at, self._busy, self._total, self._used_us = now, busy, total, used_us
        return self._load

    def _usage(self) -> list[int]:
        return [usage_us(_read(stat)) for stat, _ in self._quotas]


def _read(file: Path) -> str:
    """The text of a kernel file; empty if the kernel does not have it."""
    try:
        return file.read_text()
    except OSError:
        return ""


def _cpu_times(stat: Path) -> tuple[int, int]:
    """Busy and total ticks, from the first line of /proc/stat (user nice system idle iowait irq ...)."""
    times = [int(part) for part in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)
