"""A projector on a real NATS and Redis, and waiting for its position."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from chassis.nats import Bus
from gateway.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from gateway.adapters.nats_registry import NatsRegistry
from gateway.adapters.nats_session_log import NatsSessionLog
from gateway.adapters.nats_start_queue import NatsStartQueue
from gateway.adapters.nats_words import NatsWords
from gateway.adapters.redis_projection import RedisProjection
from gateway.ports import ReadModelUnavailable
from gateway.projector import Projector
from tests.support.waiting import until


@asynccontextmanager
async def projecting(bus: Bus, model: RedisProjection) -> AsyncIterator[None]:
    prejoined = NatsPrejoinedRooms(bus)
    words = NatsWords(bus, seals=lambda: True, now=lambda: datetime.now(UTC), deadline_s=2)
    session_log = NatsSessionLog(bus, words, NatsStartQueue(bus), deadline_s=2)
    projector = Projector(session_log, model, NatsRegistry(bus, deadline_s=1), prejoined, words)
    tasks = {asyncio.create_task(prejoined.watch()), asyncio.create_task(projector.run())}
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def until_at(model: RedisProjection, position: int) -> None:
    async def there() -> bool:
        with suppress(ReadModelUnavailable):
            return await model.position() == str(position)
        return False

    await until(there)
