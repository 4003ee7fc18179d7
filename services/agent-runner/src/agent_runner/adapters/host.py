"""How busy the host's CPUs are."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_WINDOW_S: Final = 15.0
"""Placement reads the load; a moment's burst (a fork, a test) shall not move it."""


class CpuLoad:
    """Share of the host's CPU time in use, averaged over about 15 s."""

    def __init__(self, stat: Path = Path("/proc/stat"), clock: Callable[[], float] = time.monotonic) -> None:
        self._stat = stat
        self._clock = clock
        self._at = clock()
        self._busy, self._total = _cpu_times(stat)
        self._load = 0.0

    def __call__(self) -> float:
        """0..1 now; calls within a second give the same answer."""
        now = self._clock()
        if now - self._at < 1.0:
            return self._load
        busy, total = _cpu_times(self._stat)
        if total > self._total:
            share = (busy - self._busy) / (total - self._total)
            weight = min(1.0, (now - self._at) / _WINDOW_S)
            self._load += weight * (min(1.0, max(0.0, share)) - self._load)
        self._at, self._busy, self._total = now, busy, total
        return self._load


def _cpu_times(stat: Path) -> tuple[int, int]:
    """Ticks in use and ticks in all, from the first line of /proc/stat (user nice system idle iowait irq ...)."""
    times = [int(part) for part in stat.read_text().split("\n", 1)[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)
