"""Starts processes in stages, watches and restarts them, and stops them in reverse order."""

import asyncio
import contextlib
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from greenroom_cli.stack.process import ProcessFailed, ProcessSpec, StackProcess
from greenroom_cli.stack.progress import Progress
from greenroom_cli.stack.restarts import RestartPolicy

LOOK_S = 1.0
KEEPER = Path(__file__).with_name("keeper.py")


class Keeper:
    """The process that cleans up if this one is killed; see `keeper.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(KEEPER)],
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
            bufsize=1,
        )
        assert self._process.stdin is not None
        self._pipe: IO[str] = self._process.stdin

    def started(self, pid: int) -> None:
        self._tell(f"+{pid}")

    def reaped(self, pid: int) -> None:
        self._tell(f"-{pid}")

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._process.wait(timeout=5)

    def _tell(self, line: str) -> None:
        # Continue without the keeper if it was killed: the kernel's parent-death signal still works.
        with contextlib.suppress(BrokenPipeError):
            self._pipe.write(f"{line}\n")


class Supervisor:
    """The processes of one stack.

    `start` once per stage, then `supervise`; always `stop` at the end.

    Args:
        echo: Gets all that the processes write, in addition to the files in `logs`.
    """

    def __init__(
        self, logs: Path, progress: Progress, policy: RestartPolicy | None = None, *, echo: BinaryIO | None = None
    ) -> None:
        self.processes: dict[str, StackProcess] = {}
        self._logs = logs
        self._progress = progress
        self._policy = policy or RestartPolicy()
        self._keeper = Keeper()
        self._echo = echo
        self._asked: set[str] = set()  # stopped here to be started again: no death
        self._retired: set[str] = set()

    async def start(self, stage: Sequence[ProcessSpec]) -> None:
        """Start the processes of one stage in parallel; return when all are ready.

        Raises:
            ProcessFailed: The first failure; `stop` stops the others.
        """
        tasks = [asyncio.create_task(self._start(spec)) for spec in stage]
        if not tasks:
            return
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def supervise(self) -> None:
        """Watch all processes, and restart those that die. It never returns.

        Raises:
            ProcessFailed: A process may not be restarted, or died too often.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for process in self.processes.values():
                    if process.spec.ready is not None:
                        group.create_task(self._watch(process))
                    if process.spec.why_restart is not None:
                        group.create_task(self._restart_when_needed(process, process.spec.why_restart))
        except* ProcessFailed as failures:
            failed = failures.exceptions[0]
            assert isinstance(failed, ProcessFailed)  # the tasks contain no nested groups
            raise failed from None

    async def retire(self, processes: Sequence[StackProcess]) -> None:
        """Stop these for good, in parallel, while `supervise` watches the others."""
        self._retired.update(process.spec.name for process in processes)
        await asyncio.gather(*(self._stop(process) for process in processes))

    async def stop(self) -> None:
        """Stop all processes, the last started first. Never raises; safe to repeat."""
        for process in reversed(self.processes.values()):
            await self._stop(process)
        self._keeper.close()

    async def _stop(self, process: StackProcess) -> None:
        if not process.is_running:
            return
        began = time.monotonic()
        await process.stop()
        self._progress.stopped(process.spec.name, time.monotonic() - began)

    async def _start(self, spec: ProcessSpec) -> None:
        process = self.processes[spec.name] = StackProcess(spec, self._logs, self._keeper, self._echo)
        self._progress.starting(spec.name)
        self._progress.ready(spec.name, await process.start(partial(self._progress.waiting, spec.name)))

    async def _restart_when_needed(self, process: StackProcess, why: Callable[[], str | None]) -> None:
        """Stop a process that runs but does not work; `_watch` starts it again."""
        while True:
            await asyncio.sleep(LOOK_S)
            process.write_kept_output()
            reason = why()
            if reason is not None and process.is_running:
                self._progress.unwell(process.spec.name, reason)
                self._asked.add(process.spec.name)
                process.signal(signal.SIGTERM)

    async def _watch(self, process: StackProcess) -> None:
        name = process.spec.name
        runs_s: list[float] = []
        ready = time.monotonic()
        failure = await process.died()
        while name not in self._retired:
            if name in self._asked:
                self._asked.remove(name)
                runs_s.clear()
            runs_s.append(max(0.0, time.monotonic() - ready))
            self._progress.died(failure)
            delay_s = self._policy.delay_s(runs_s) if process.spec.restarts else None
            if delay_s is None:
                raise failure
            self._progress.restarting(name, delay_s)
            await asyncio.sleep(delay_s)
            if name in self._retired:
                return
            ready = math.inf
            try:
                self._progress.ready(name, await process.start(partial(self._progress.waiting, name)))
                ready = time.monotonic()
                failure = await process.died()
            except ProcessFailed as again:
                failure = again
