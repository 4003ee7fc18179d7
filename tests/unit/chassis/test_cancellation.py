"""A cancellation that somebody swallowed is noticed at the next turn of the loop."""

import asyncio
from contextlib import suppress

import pytest
from chassis.cancellation import heed


async def swallowing() -> None:
    """What `wait_for` does with a cancellation that comes together with its result."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(3600)


async def test_a_loop_without_an_end_ends_though_its_cancellation_was_swallowed() -> None:
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            heed()
            turns += 1
            await swallowing()

    task = asyncio.create_task(loop())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(asyncio.shield(task), 5)
    assert turns == 1


async def test_a_deadline_that_passed_is_no_cancellation() -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(1)
    heed()
