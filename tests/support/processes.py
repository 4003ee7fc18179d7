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


def command_of(pid: int) -> str:
    """Its arguments, each with a NUL behind it; "" of a zombie and after the process was reaped."""
    return _text(pid, "cmdline")


def environment_of(pid: int) -> str:
    """Its environment at its start, each `NAME=value` with a NUL behind it; "" as for `command_of`."""
    return _text(pid, "environ")


def pids() -> set[int]:
    """All processes of this machine."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    return state_of(pid) not in ("Z", "X", None)


def descendants(pid: int) -> set[int]:
    """All living processes below this one."""
    parents: dict[int, int] = {}
    for one in pids():
        with suppress(OSError):
            state, parent, *_ = _stat(one)
            if state not in "ZX":
                parents[one] = int(parent)
    found: set[int] = set()
    layer = {pid}
    while layer := {child for child, parent in parents.items() if parent in layer}:
        found |= layer
    return found


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields behind the name, which may contain blanks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
