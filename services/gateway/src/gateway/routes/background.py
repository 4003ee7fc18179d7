"""Work that outlives its request: owned by the gateway, bounded in time, its errors logged."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from chassis.logs import get_logger

log = get_logger(__name__)

_CANCEL_S: Final = 0.5


class Background:
    """The tasks of requests whose answer does not wait for them, or whose request may be cancelled meanwhile."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work`; an exception is logged as a bug."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish(self, deadline_s: float) -> None:
        """Wait for what runs, then cancel the rest."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=deadline_s)
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_CANCEL_S)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background.bug", exc_info=error)
