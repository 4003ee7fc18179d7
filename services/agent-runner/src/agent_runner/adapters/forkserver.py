"""Workers forked by the standard library's forkserver, which has imported Pipecat and loaded the models once.

`multiprocessing` blocks: a fork waits until the forkserver has preloaded (about 2 s, once). So all calls of it run in
order on one dedicated thread; the event loop only sees pidfds and sockets.
"""

import asyncio
import multiprocessing
import os
import resource
import select
import signal
import socket
import sys
import types
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerProcess
from typing import Final, TypeVar

from agent_runner.adapters.worker_entry import enter
from agent_runner.link.messages import WorkerListener
from agent_runner.link.supervisor_end import ForkedWorker
from agent_runner.ports import ForkFailed
from chassis import logs
from chassis.errors import text_of
from chassis.tasks import Tasks

_FORK_S: Final = 30.0  # preloading takes 2 s; a loaded host, ten times that
_STOP_S: Final = 1.0
_STEADY_S: Final = 5.0
_REAP_RETRY_S: Final = 0.2
_REAP_TRIES: Final = 10

T = TypeVar("T")

log = logs.get_logger(__name__)


class ForkServer:
    """Forks workers, and restarts the forkserver when it dies; running workers go on meanwhile.

    Attributes:
        args: Further arguments of the next workers, after their socket; picklable.
    """

    def __init__(self, entry: str, preload: str, *, max_file_bytes: int) -> None:
        """Configure `multiprocessing`; `start` starts the forkserver.

        Args:
            entry: `module:function` that a worker runs, with its socket and `args`.
            preload: The module that the forkserver imports.
            max_file_bytes: Longest file, its log, that a worker may write; further writes fail.
        """
        self.args: tuple[object, ...] = ()
        self._entry = entry
        self._max_file_bytes = max_file_bytes
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([preload])
        _prevent_tracker()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fork")
        self._server_pid: int | None = None
        self._server_pidfd: int | None = None
        self._server_gone = asyncio.Event()
        self._server_gone.set()
        self._tasks = Tasks()
        self._closing = False
        self._replacing = False
        self._loop = asyncio.get_running_loop()

    @property
    def is_alive(self) -> bool:
        return self._server_pidfd is not None

    async def start(self) -> None:
        """Start the forkserver ahead of the first fork, which would otherwise wait for its imports."""
        await self._run(self._ensure)
        self._watch_server()

    async def fork(self, listener: WorkerListener) -> ForkedWorker:
        """Start a worker.

        Raises:
            ForkFailed: The forkserver died (its preload failed, or the system refuses), or did not answer in 30 s.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            async with asyncio.timeout(_FORK_S):
                process, pidfd = await self._run(lambda: self._start(theirs))
        except BaseException as error:
            ours.close()  # a worker that is forked after all finds its socket closed and exits
            if isinstance(error, TimeoutError):
                self._kill_server()  # frees the thread that waits for it
                raise ForkFailed(f"the forkserver did not fork in {_FORK_S:g} s") from None
            if isinstance(error, OSError | EOFError):
                raise ForkFailed(f"the forkserver failed as it forked: {text_of(error)}") from error
            raise
        finally:
            theirs.close()
        self._watch_server()
        return ForkedWorker(process.pid or 0, pidfd, ours, listener, lambda: self._tasks.spawn(self._reap(process)))

    async def restart(self) -> None:
        """Replace the forkserver, for a changed configuration; workers of the old one go on."""
        self._replacing = True
        try:
            await self._run(self._replace)
            self._watch_server()
        finally:
            self._replacing = False

    async def close(self) -> None:
        """Kill the forkserver, after all workers are gone."""
        self._closing = True
        self._kill_server()
        await self._tasks.drain(_STOP_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await self._server_gone.wait()
        self._unwatch_server()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start(self, theirs: socket.socket) -> tuple[ForkServerProcess, int]:
        process = self._context.Process(target=enter, args=(self._entry, theirs, *self.args), daemon=True)
        with _without_main():
            process.start()
        pid = process.pid or 0
        with suppress(ProcessLookupError):  # Python ignores SIGXFSZ, so that a write beyond it is an error like others
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (self._max_file_bytes, self._max_file_bytes))
        return process, os.pidfd_open(pid)

    def _replace(self) -> None:
        """Runs on the fork thread, so no fork is in flight. `multiprocessing` replaces only a dead server."""
        pidfd = self._server_pidfd
        if pidfd is not None:
            watch = os.dup(pidfd)  # the event loop closes its own when it sees the death
            try:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(watch, signal.SIGKILL)
                select.select([watch], [], [], _STOP_S)
            finally:
                os.close(watch)
        self._ensure()

    def _ensure(self) -> None:
        with _without_main():
            forkserver.ensure_running()

    async def _run(self, work: Callable[[], T]) -> T:
        return await self._loop.run_in_executor(self._thread, work)

    def _watch_server(self) -> None:
        """Watch the current forkserver; `multiprocessing` starts a new one when it finds the old one dead."""
        pid = _server_pid()
        if pid is None or (pid == self._server_pid and self._server_pidfd is not None):
            return
        self._unwatch_server()
        try:
            self._server_pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        self._server_pid = pid
        self._server_gone.clear()
        self._loop.add_reader(self._server_pidfd, self._server_died, self._loop.time())

    def _server_died(self, since: float) -> None:
        lived_s = self._loop.time() - since
        self._unwatch_server()
        self._server_gone.set()
        if self._closing or self._replacing:
            return
        log.error("forkserver.died", pid=self._server_pid, lived_s=round(lived_s, 1))
        if lived_s >= _STEADY_S:  # after a death during preload only the next fork starts one, at the pool's backoff
            self._tasks.spawn(self.start())

    def _unwatch_server(self) -> None:
        if self._server_pidfd is not None:
            self._loop.remove_reader(self._server_pidfd)
            os.close(self._server_pidfd)
            self._server_pidfd = None

    def _kill_server(self) -> None:
        if self._server_pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._server_pidfd, signal.SIGKILL)

    async def _reap(self, process: ForkServerProcess) -> None:
        """Read the exit status and close the descriptors; the status arrives a moment after the death."""
        pid = process.pid
        for _ in range(_REAP_TRIES):
            with suppress(RuntimeError):  # the thread is shut down
                status = await self._run(lambda: _close(process))
                if status is not None:
                    log.debug("worker.exited", pid=pid, status=status)
                    return
            await asyncio.sleep(_REAP_RETRY_S)


def _close(process: ForkServerProcess) -> int | None:
    status = process.exitcode
    if status is not None:
        process.close()
    return status


def _prevent_tracker() -> None:
    """Prevent the resource tracker (a 6 MB process), which cleans up semaphores and shared memory: we use neither."""
    tracker = getattr(resource_tracker, "_resource_tracker")  # noqa: B009 - private to typeshed
    if tracker._fd is None:
        tracker._fd = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)  # its writes check that the tracker lives


def _server_pid() -> int | None:
    """The forkserver's process id, which has no public accessor."""
    return getattr(getattr(forkserver, "_forkserver"), "_forkserver_pid", None)  # noqa: B009 - private to typeshed


@contextmanager
def _without_main() -> Generator[None]:
    """Hide `__main__` (`agent_runner.app` with the bus): `multiprocessing` would import it into every worker."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
