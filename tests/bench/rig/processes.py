"""What a tree of processes uses: proportional memory and CPU time, from /proc."""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Process:
    """One process of a tree.

    Attributes:
        depth: 0 for the root.
        cpu_s: Seconds of CPU, user and system, with those of its children that it has reaped.
    """

    pid: int
    depth: int
    cpu_s: float


def tree(root: int) -> list[Process]:
    """The process and all below it, of this moment."""
    children: defaultdict[int, list[int]] = defaultdict(list)
    cpu_s: dict[int, float] = {}
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        children[int(fields[1])].append(int(entry.name))
        cpu_s[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
    found: list[Process] = []
    level = [root]
    depth = 0
    while level:
        found += [Process(pid, depth, cpu_s[pid]) for pid in level if pid in cpu_s]
        level = [child for pid in level for child in children[pid]]
        depth += 1
    return found


def cpu_s(processes: list[Process]) -> float:
    """Their CPU seconds together."""
    return sum(process.cpu_s for process in processes)


def pss_mb(pid: int) -> float:
    """A process's proportional share of the memory it uses; 0 for one that is gone."""
    try:
        lines = (PROC / str(pid) / "smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
