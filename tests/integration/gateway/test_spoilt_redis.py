"""Keys in Redis that another program wrote: the read model treats them as missing and is rebuilt."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.adapters.redis_projection import POSITION, RedisProjection
from gateway.domain.read_model import fold_all, user_config
from gateway.domain.session_filter import SessionFilter
from gateway.ports import PositionMoved
from tests.integration.gateway.playing import SESSION, a_request, a_running_call
from tests.support.servers import RedisServer

REQUEST = a_request()
STATE = fold_all([REQUEST, *a_running_call()])


@pytest.fixture
async def redis(redis_server: RedisServer) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(redis_server.url)
    yield client
    await client.aclose()


@pytest.fixture
async def model(redis_server: RedisServer) -> AsyncIterator[RedisProjection]:
    model = RedisProjection(redis_server.url, deadline_s=2, ttl_s=1_000, user_ttl_s=1_000)
    yield model
    await model.close()


async def written(model: RedisProjection) -> None:
    """Write the one state, from the position that there is, as often as the projector would try."""
    assert STATE is not None
    for _ in range(3):
        try:
            at = await model.position()
            await model.write([STATE], {"Ann": user_config(REQUEST)}, at=at, then="7")
            return
        except PositionMoved:
            continue
    pytest.fail("it never got over it")


@pytest.mark.parametrize(
    "key",
    [
        POSITION,
        "projection:recent",
        "session:ready",
        "session:starting",
        f"session:{SESSION}",
        f"projection:session:{SESSION}",
        f"projection:summary:{SESSION}",
        "projection:user:Ann",
        f"agent:{SESSION}:pid",
        "user:Ann:config",
        "pool:ready",
    ],
)
@pytest.mark.parametrize("command", ["SET k \xff", "RPUSH k x", "HSET k a b", "SADD k x", "ZADD k 1 x"])
async def test_a_key_of_any_type_and_content_is_written_over(
    model: RedisProjection, redis: Redis, key: str, command: str
) -> None:
    await written(model)
    name, _, *rest = command.split(" ")
    await redis.delete(key)
    await redis.execute_command(name, key, *(part.encode("latin-1") for part in rest))

    await written(model)
    await model.mirror_pool(frozenset({"n1:0"}))

    assert await model.position() == "7"
    assert await model.get(SESSION) == STATE
    assert [state.session_id for state in (await model.page(frozenset(), limit=5, cursor=None)).sessions] == [SESSION]
    found, _ = await model.find(SessionFilter(user="Ann"), limit=5, after=None)
    assert [state.session_id for state in found] == [SESSION]
    assert await redis.hget(f"session:{SESSION}", "userName") == b"Ann"
    assert await redis.smembers("pool:ready") == {b"n1:0"}


@pytest.mark.parametrize("position", ["", "-1", "1e3", "٣", "9" * 30, "x"])
async def test_a_position_that_is_no_sequence_counts_as_missing(
    model: RedisProjection, redis: Redis, position: str
) -> None:
    await redis.set(POSITION, position)

    assert await model.position() is None
    await written(model)
    assert await model.position() == "7"


@pytest.mark.parametrize(
    "value", [b"\xff", b"{}", b'{"session_id": "session_other"}', b'{"x":' * 300 + b"1" + b"}" * 300]
)
async def test_a_state_that_cannot_be_read_counts_as_missing(
    model: RedisProjection, redis: Redis, value: bytes
) -> None:
    await written(model)
    await redis.set(f"projection:session:{SESSION}", value)

    assert await model.get(SESSION) is None
    assert (await model.page(frozenset(), limit=5, cursor=None)).sessions == []
    await written(model)
    assert await model.get(SESSION) == STATE
