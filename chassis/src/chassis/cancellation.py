"""Cancellations that got lost.

Python 3.11's `asyncio.wait_for`, by which nats-py waits, swallows a cancellation that comes in the same turn of the
loop as its result. A task group cancels each of its tasks once, so one such loss makes it wait for ever.
"""

import asyncio


def heed() -> None:
    """Raise `CancelledError` if the running task was cancelled and goes on all the same; for loops without an end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
