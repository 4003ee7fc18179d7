"""The sessions in Redis, as the gateway's projector writes them."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import asyncio
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from greenroom_cli.errors import CommandError

TIMEOUT_S = 5.0


async def list_sessions(redis_url: str, limit: int) -> list[dict[str, str]]:
    """At most `limit` sessions, the newest first: the fields of `session:{id}`, and `sessionId`.

    Raises:
        CommandError: Redis cannot be reached.
    """
    try:
        redis = Redis.from_url(
            redis_url, decode_responses=True, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
        )
    except ValueError as error:
        raise CommandError(f"REDIS_URL cannot be taken: {error}", "write redis://host:port/db") from None
    try:
        async with asyncio.timeout(4 * TIMEOUT_S):
            keys = [str(key) async for key in redis.scan_iter("session:session_*", count=500, _type="HASH")]
            newest = sorted(keys, reverse=True)[:limit]  # an id begins with its time in ms
            async with redis.pipeline(transaction=False) as pipeline:
                for key in newest:
                    pipeline.hgetall(key)
                rows = cast(list[dict[str, str]], await pipeline.execute())
    except (RedisError, OSError, TimeoutError) as error:
        raise CommandError(f"no answer from Redis: {error}", "check REDIS_URL, or: greenroom up") from None
    finally:
        await redis.aclose()
    return [{"sessionId": key.removeprefix("session:"), **row} for key, row in zip(newest, rows, strict=True)]
