"""Python 3.12's `asyncio.wait_for` for Python 3.11 (decision 0031).

The older one, which nats-py uses, swallows a cancellation that arrives in the same loop iteration as the result. The
task then continues, and the task group that cancelled it waits for ever.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def wait_for(future: Awaitable[T], timeout: float | None) -> T:
    """Await in the same task under a timeout, as Python 3.12 does, so that no cancellation is lost."""
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await future
    task = asyncio.ensure_future(future)
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task})
    try:
        return task.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


def mend_wait_for() -> None:
    """Replace `asyncio.wait_for` for every library of this process, on Python older than 3.12."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = wait_for
