"""What Linux tells of a process, in `/proc`."""

from contextlib import suppress
from pathlib import Path


def state_of(pid: int) -> str | None:
    """The process's state letter; None after it was reaped."""
    try:
        return _stat(pid)[0]
    except OSError:
        return None


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return state_of(pid) not in ("Z", "X", None)


def descendants(pid: int) -> set[int]:
    """All living processes below this one."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            state, parent, *_ = _stat(int(entry.name))
            if state not in "ZX":
                parents[int(entry.name)] = int(parent)
    found: set[int] = set()
    layer = {pid}
    while layer := {child for child, parent in parents.items() if parent in layer}:
        found |= layer
    return found


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may contain blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
