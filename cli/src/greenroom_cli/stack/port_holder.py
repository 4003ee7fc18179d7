"""The process that listens on a port, and the stack that it belongs to."""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from greenroom_cli.stack.state import supervised_folder

_PROC: Final = Path("/proc")
_RUNS_A_PROGRAM: Final = re.compile(r"python[\d.]*|node")
_PARENTS: Final = 3  # a service's parent is the stack's supervisor; `uv run` and the like stand between others


@dataclass(frozen=True)
class Holder:
    """The process that listens on a port.

    Attributes:
        command: Its program, and what Python or Node.js runs, such as "python -m gateway.app". No other argument, since
            it may be a secret. Empty for another user's process, which only root can see.
        state: The state folder of the stack that it belongs to; None for a process that is not part of a stack.
    """

    pid: int | None = None
    command: str = ""
    state: Path | None = None

    @property
    def option(self) -> str:
        """The option with which the commands find that stack; empty for a process that is not part of one."""
        return "" if self.state is None else f"--state {shlex.quote(str(self.state))}"

    def __str__(self) -> str:
        if self.pid is None:
            return "another process"
        shown = f"{self.command} (pid {self.pid})"
        return shown if self.state is None else f"{shown} of the Greenroom stack in {self.state}"


def holder(port: int) -> Holder:
    """The process that listens on a TCP port of this machine."""
    inodes = _listening_inodes(port)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and _holds(entry, inodes):
            pid = int(entry.name)
            return Holder(pid, _command(entry), next(filter(None, map(supervised_folder, _ancestry(pid))), None))
    return Holder()


def _command(process: Path) -> str:
    arguments: list[str] = []
    name = "a process"
    with suppress(OSError):  # it exited
        name = (process / "comm").read_text().strip()
        arguments = [word for word in (process / "cmdline").read_bytes().decode(errors="replace").split("\0") if word]
    program = Path(arguments[0]).name if arguments else name
    if not _RUNS_A_PROGRAM.fullmatch(program):
        return name
    match arguments[1:]:
        case ["-m", module, *_]:
            return f"{program} -m {module}"
        case [file, *_] if not file.startswith("-"):
            return f"{program} {Path(file).name}"
        case _:
            return program


def _ancestry(pid: int) -> Iterator[int]:
    """The process and its nearest parents."""
    for _ in range(1 + _PARENTS):
        yield pid
        try:
            status = (_PROC / str(pid) / "status").read_text()
        except OSError:
            return
        found = re.search(r"^PPid:\s*(\d+)$", status, flags=re.MULTILINE)
        pid = int(found[1]) if found else 0
        if pid == 0:
            return


def _listening_inodes(port: int) -> set[str]:
    found: set[str] = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def _holds(process: Path, inodes: set[str]) -> bool:
    with suppress(OSError):  # another user's process, or it exited
        for link in (process / "fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                if os.readlink(link) in inodes:
                    return True
    return False
