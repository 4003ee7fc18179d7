"""Stopping: what runs beside a service ends, even where a cancellation is lost on the way."""

import asyncio
from contextlib import suppress

from chassis.health import Health
from chassis.lifecycle import Life, Service
from chassis.settings import ServiceSettings


async def test_work_that_loses_a_cancellation_is_cancelled_again() -> None:
    lost = asyncio.Event()

    async def work() -> None:
        with suppress(asyncio.CancelledError):  # as `wait_for` does when its result comes in the same turn
            await asyncio.sleep(60)
        lost.set()
        await asyncio.sleep(60)

    async def start(life: Life) -> None:
        life.spawn("work", work())
        await asyncio.sleep(0)
        life.end()

    service = Service("test", ServiceSettings(), start)
    async with asyncio.timeout(5):
        assert await Life(service, Health("test", version="0")).live() == 0
    assert lost.is_set()
