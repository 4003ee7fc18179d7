"""The servers that the integration tests stand on are really there."""

import asyncpg
import redis.asyncio

from chassis.nats import Bus
from tests.support.servers import RedisServer


async def test_nats_is_up(bus: Bus) -> None:
    assert bus.is_connected


async def test_redis_forgets_at_a_restart(redis_server: RedisServer) -> None:
    async with redis.asyncio.from_url(redis_server.url) as before:
        await before.set("k", "v")
    redis_server.restart()
    async with redis.asyncio.from_url(redis_server.url) as after:
        assert await after.get("k") is None


async def test_each_postgres_database_is_empty(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    tables = await connection.fetch("SELECT 1 FROM pg_tables WHERE schemaname = 'public'")
    assert tables == []
    await connection.close()
