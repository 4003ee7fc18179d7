"""Background tasks whose exceptions are never lost, and waiting for the first of several things."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from chassis import logs

T = TypeVar("T")

_CANCEL_S: Final = 0.5  # for tasks to clean up after a cancellation

log = logs.get_logger(__name__)


class Tasks:
    """The background tasks of one owner: kept alive until they end, each failure logged as `task.failed`.

    Args:
        on_failure: Called with the task's name and exception after the log line. A cancellation is not a failure.
    """

    def __init__(self, on_failure: Callable[[str, BaseException], object] | None = None) -> None:
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Run `work` as a task; without a name, log lines show the coroutine's."""
        task = asyncio.get_running_loop().create_task(work, name=name or work.__qualname__)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def drain(self, deadline_s: float) -> None:
        """Wait for the running tasks; cancel those left at the deadline."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)
        await self.cancel()

    async def cancel(self, timeout_s: float = _CANCEL_S) -> None:
        """Cancel all tasks and wait for their end, `timeout_s` at most."""
        await cancel(*self._tasks, timeout_s=timeout_s)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        log.error("task.failed", task=task.get_name(), exc_info=error)
        if self._on_failure is not None:
            self._on_failure(task.get_name(), error)


async def cancel(*tasks: asyncio.Future[Any], timeout_s: float | None = None) -> None:
    """Cancel the tasks and wait for their end, without a limit by default; what they raise is not raised here."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=timeout_s)


async def first_of(*waits: Awaitable[Any], timeout_s: float | None = None) -> int | None:
    """Wait until one of these ends, and cancel the others; wrap in `asyncio.shield` a future that must survive.

    Returns:
        The position of the first one, the lowest if several ended at once; None after the timeout.

    Raises:
        BaseException: What the first one raised.
    """
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        first = next((position for position, task in enumerate(tasks) if task.done()), None)
        if first is not None:
            tasks[first].result()
        return first
    finally:
        await cancel(*(task for task in tasks if not task.done()))
