"""One process of the stack: started in a session by the shim, awaited until ready, stopped within a deadline."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.keeper import kill_session
from greenroom_cli.stack.output import Output

SHIM = Path(__file__).with_name("shim.py")
POLL_S = 0.05
FIRST_NOTICE_S = 10.0
NOTICE_EVERY_S = 10.0

Ready = Callable[[], Awaitable[str | None]]
"""Called until it returns None; before, it returns what is missing, which becomes the error at the deadline."""

Notice = Callable[[float, str], None]
"""Called after FIRST_NOTICE_S with the seconds of waiting and what is missing, then each NOTICE_EVERY_S if something
else is missing."""


def _ignore(_seconds: float, _missing: str) -> None: ...


@dataclass(frozen=True)
class ProcessSpec:
    """A process, and how to tell that it is ready.

    Attributes:
        name: Unique in a stack; also the name of its log file.
        command: Program and arguments.
        environment: The complete environment of the process.
        ready: See `Ready`; None for a process that is done when it exits with 0 (a migration).
        ready_timeout_s: From the start until it must be ready.
        stop_timeout_s: From SIGTERM until SIGKILL.
        as_nobody: Drop root first, since PostgreSQL refuses to run as root.
        restarts: The supervisor starts it again when it dies.
        why_restart: Called periodically while it runs; a reason makes the supervisor stop and start it.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    ready: Ready | None
    ready_timeout_s: float = 20.0
    stop_timeout_s: float = 5.0
    as_nobody: bool = False
    restarts: bool = False
    why_restart: Callable[[], str | None] | None = None


class ProcessFailed(CommandError):
    """A process died or was not ready in time; the text has its last log lines.

    Attributes:
        ended: It exited with 0, as a service does when it was asked to stop, for example a drained node.
    """

    def __init__(self, name: str, how: str, log: Path, tail: list[str], *, ended: bool = False) -> None:
        super().__init__(f"{name} {how}", f"its log is {log}")
        self.name = name
        self.log = log
        self.tail = tail
        self.ended = ended


class ProcessRegistry(Protocol):
    """Receives every process that is started or reaped, to kill the processes of a killed supervisor."""

    def started(self, pid: int) -> None: ...

    def reaped(self, pid: int) -> None: ...


class StackProcess:
    """A process that can be started, signalled, stopped and started again, as tests of faults need."""

    def __init__(self, spec: ProcessSpec, logs: Path, registry: ProcessRegistry, echo: BinaryIO | None = None) -> None:
        self.spec = spec
        self.log = logs / f"{spec.name}.log"
        self._registry = registry
        self._output = Output(self.log, echo)
        self._process: asyncio.subprocess.Process | None = None
        self._is_reaped = False

    @property
    def pid(self) -> int:
        """The pid of the running process, also its session and group. Raises `RuntimeError` when it does not run."""
        if self._process is None or self._process.returncode is not None:
            raise RuntimeError(f"{self.spec.name} is not running")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self, waiting: Notice = _ignore) -> float:
        """Start it and wait until it is ready; return the seconds that took.

        Raises:
            ProcessFailed: It exited first, or was not ready in time (then it is stopped).
        """
        began = time.monotonic()
        await self._spawn()
        missing, notice_at, noticed = "it has not finished", FIRST_NOTICE_S, ""
        while (waited := time.monotonic() - began) < self.spec.ready_timeout_s:
            if waited >= notice_at and missing != noticed:
                waiting(waited, missing)
                notice_at, noticed = waited + NOTICE_EVERY_S, missing
            if not self.is_running:
                if self.spec.ready is None and await self.wait() == 0:
                    return time.monotonic() - began
                raise await self.died()
            if self.spec.ready is not None:
                answer = await self.spec.ready()
                if answer is None:
                    return time.monotonic() - began
                missing = answer
            await asyncio.sleep(POLL_S)
        await self.stop()
        raise self._failed(f"was not ready within {self.spec.ready_timeout_s:g} s ({missing})")

    async def wait(self) -> int:
        """Wait until it and its whole session have exited; return the exit code."""
        assert self._process is not None
        code = await self._process.wait()
        if not self._is_reaped:  # only once: another process may get the pid
            self._is_reaped = True
            kill_session(self._process.pid)
            _reap_group(self._process.pid)
            self._output.settle()
            self._registry.reaped(self._process.pid)
        return code

    async def died(self) -> ProcessFailed:
        """The error of a process that exited: name, exit code or signal, last log lines."""
        code = await self.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with code {code}"
        return self._failed(how, ended=code == 0)

    async def stop(self, *, timeout_s: float | None = None) -> None:
        """SIGTERM to the whole session, after the deadline SIGKILL; return when all its processes have exited."""
        if self._process is None or self._is_reaped:
            return
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGCONT)  # a frozen process cannot handle SIGTERM
                self._process.terminate()
            limit = self.spec.stop_timeout_s if timeout_s is None else timeout_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._process.wait()
        kill_session(self._process.pid)  # also the leader, if it exceeded its deadline
        await self.wait()

    def write_kept_output(self) -> None:
        """Try again to write what the log file did not take; `why_restart` may read it there."""
        self._output.write_kept()

    def signal(self, number: signal.Signals, *, whole_session: bool = False) -> None:
        """Signal the process or, with `whole_session`, its process group (a node and its workers)."""
        if whole_session:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def tail(self, lines: int = 15) -> list[str]:
        """The last lines that this run wrote to the log."""
        return self._output.tail(lines)

    async def _spawn(self) -> None:
        options = [str(os.getpid()), *(["--drop-root"] if self.spec.as_nobody else [])]
        with self._output.opened() as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", str(SHIM), *options, "--", *self.spec.command),
                env=dict(self.spec.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._is_reaped = False
        self._registry.started(self._process.pid)

    def _failed(self, how: str, *, ended: bool = False) -> ProcessFailed:
        return ProcessFailed(self.spec.name, how, self.log, self.tail(), ended=ended)


def _reap_group(leader: int) -> None:
    """Reap the killed processes of a leader's group, whose parent we are if we are a container's first process."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-leader, os.WNOHANG)[0]:
            pass
