"""The CPUs and memory that a node may use, read from the text of the kernel's control group files (cgroup v2)."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CALLS_PER_CPU: Final = 6
"""A call takes 8 to 9 CPU seconds a minute, so six use at most 0.9 of a CPU; MAX_LOAD (0.7) stops new ones at five."""

_NODE_BYTES: Final = 250 << 20
_CALL_BYTES: Final = 80 << 20
"""Measured: supervisor and forkserver use 170 MB, a worker in a call 63 MB of private memory; long calls use more."""

_UNLIMITED: Final = "max"


@dataclass(frozen=True)
class Capacity:
    """What this node may use.

    Attributes:
        cpus: CPUs; a quota may be fractional, such as 1.5.
        memory_bytes: None: unlimited.
    """

    cpus: float
    memory_bytes: int | None = None


def slots(capacity: Capacity, *, max_bots: int, reserved_bytes: int = 0) -> int:
    """Concurrent jobs that CPUs and memory allow: at least one, at most `max_bots`.

    Args:
        reserved_bytes: Memory that other processes under the same limit need.
    """
    by_cpu = int(CALLS_PER_CPU * capacity.cpus)
    ours = None if capacity.memory_bytes is None else capacity.memory_bytes - reserved_bytes - _NODE_BYTES
    by_memory = max_bots if ours is None else ours // _CALL_BYTES
    return max(1, min(max_bots, by_cpu, by_memory))


def cgroup_path(proc_self_cgroup: str) -> str | None:
    """The process's group from /proc/self/cgroup, such as "/kubepods/pod1/c2"; None without cgroup v2."""
    for line in proc_self_cgroup.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (hierarchy, controllers) == ("0", "") and path.startswith("/"):
            return path
    return None


def lineage(path: str) -> list[str]:
    """The group and its ancestors, innermost first: the limits of all of them apply. ".." parts are ignored."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return ["/".join(parts[:length]) for length in range(len(parts), -1, -1)]


def cpu_quota(cpu_max: str) -> float | None:
    """CPUs that cpu.max ("200000 100000", "max 100000") allows; None: unlimited."""
    words = cpu_max.split()
    if not words or words[0] == _UNLIMITED:
        return None
    period_us = int(words[1]) if len(words) > 1 else 100_000
    quota = int(words[0]) / period_us if period_us > 0 else 0.0
    return quota if quota > 0 else None


def memory_limit(memory_max: str) -> int | None:
    """Bytes that memory.max ("max", "536870912") allows; None: unlimited."""
    word = memory_max.strip()
    return None if word in ("", _UNLIMITED) else int(word)


def usage_us(cpu_stat: str) -> int:
    """Microseconds of CPU time that a group has used: the line usage_usec of its cpu.stat."""
    for line in cpu_stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "usage_usec":
            return int(value)
    return 0


def least(limits: Iterable[float | None]) -> float | None:
    """The smallest limit; None: unlimited."""
    return min((limit for limit in limits if limit is not None), default=None)
