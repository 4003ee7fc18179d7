"""Cancellations that get lost, and how they are kept.

Python 3.11's `asyncio.wait_for`, by which nats-py waits, swallows a cancellation that comes in the same turn of the
loop as its result: the task goes on, and whoever cancelled it, a task group for example, waits for ever. Python 3.12
mended it.
"""

import asyncio
import sys
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def wait_for(future: Awaitable[T], timeout: float | None) -> T:
    """`asyncio.wait_for` as Python 3.12 has it: under a timeout, in the same task, so that no cancellation is lost."""
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
    """Have every library of this process wait by that, where Python's own is older."""
    if sys.version_info < (3, 12):
        asyncio.wait_for = wait_for
