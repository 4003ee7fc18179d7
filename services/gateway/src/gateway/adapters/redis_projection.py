"""The projector's side of the read model in Redis."""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from time import time

from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError, WatchError

from chassis.logs import get_logger
from gateway.adapters.redis_read_model import (
    SCAN_PAGE,
    SESSIONS_BY_TIME,
    SESSIONS_READY,
    SESSIONS_STARTING,
    SPOILT,
    RedisReadModel,
    facts_key,
    session_key,
)
from gateway.domain.read_model import SessionKeys, SessionState, session_keys, unix
from gateway.ports import PositionMoved

_FORM = 2  # of the keys; increment it when their content changes, so that every key is written again
POSITION = f"projection:position:{_FORM}"
# Form 1's position, kept up to date for a gateway of the older version that becomes projector during a rolling upgrade.
# A projector of this version then writes that gateway's keys again.
_FORMER_POSITION = "projection:position"
_POOL = "pool:ready"
_TYPES = {SESSIONS_READY: "set", SESSIONS_STARTING: "set", SESSIONS_BY_TIME: "zset"}
_POSITION = re.compile(r"[0-9]{1,19}")
_RECENT_SLACK_S = 24 * 3600  # longer than any session: its keys expire after its end, its index entry after its start

log = get_logger(__name__)


class RedisProjection(RedisReadModel):
    """`ports.ReadModelWriter`.

    Args:
        ttl_s: TTL of a session's keys after its end, in seconds.
        user_ttl_s: TTL of a user's configuration after the user's last start, in seconds.
    """

    def __init__(self, url: str, *, deadline_s: float, ttl_s: int, user_ttl_s: int) -> None:
        super().__init__(url, deadline_s=deadline_s)
        self._ttl_s = ttl_s
        self._user_ttl_s = user_ttl_s

    async def position(self) -> str | None:
        """As the port's; it also deletes an index of another type than ours, together with the position."""
        async with self._asking(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.mget([POSITION])  # unlike GET, MGET treats a key of another type as missing
            for name in _TYPES:
                pipeline.type(name)
            (found,), *types = await pipeline.execute()
            spoilt = [name for name, kind in zip(_TYPES, types, strict=True) if kind not in (_TYPES[name], "none")]
            if spoilt:
                await self._start_over(spoilt)
                return None
        return _position(found)

    async def write(
        self,
        states: Collection[SessionState],
        user_configs: Mapping[str, Mapping[str, str]],
        *,
        at: str | None,
        then: str,
    ) -> None:
        async with self._asking(), self._redis.pipeline(transaction=True) as pipeline:
            try:
                await pipeline.watch(POSITION)
                found = _position(*await pipeline.mget([POSITION]))
                if found != at:
                    raise PositionMoved(f"the position is {found}, not {at}")
                pipeline.multi()
                for state in states:
                    self._put(pipeline, state)
                for name, config in user_configs.items():
                    self._put_config(pipeline, _config(name), config)
                pipeline.zremrangebyscore(SESSIONS_BY_TIME, "-inf", (time() - self._ttl_s - _RECENT_SLACK_S) * 1000)
                pipeline.set(POSITION, then)
                pipeline.set(_FORMER_POSITION, then)
                await pipeline.execute()
            except WatchError as error:
                raise PositionMoved(f"the position is no longer {at}") from error
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                hashes = [session_key(state.session_id) for state in states] + [_config(name) for name in user_configs]
                await self._start_over([*_TYPES, *await self._not_hashes(hashes)])
                raise PositionMoved("a key had another type") from error

    async def write_again(self) -> None:
        """Write every key in today's form from the stored facts, since the log no longer has the older sessions."""
        last: str | None = None
        while True:
            async with self._asking():
                ids = await self._older_than(last)
                states = await self._load(ids)
                pipeline = self._redis.pipeline(transaction=False)
                for state in states.values():
                    self._put_again(pipeline, state)
                await pipeline.execute(raise_on_error=False)  # the next write detects a key of another type
            if len(ids) < SCAN_PAGE:
                break
            last = ids[-1]
        cursor = 0
        while True:
            async with self._asking():
                cursor, keys = await self._redis.scan(cursor, match="user:*:config", count=SCAN_PAGE)
                await self._date_again(keys)
            if cursor == 0:
                return

    async def mirror_pool(self, members: frozenset[str]) -> None:
        async with self._asking():
            kind = await self._redis.type(_POOL)
            if kind in ("set", "none") and await self._redis.smembers(_POOL) == members:
                return
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.delete(_POOL)
                if members:
                    pipeline.sadd(_POOL, *sorted(members))
                await pipeline.execute()

    async def _start_over(self, spoilt: list[str]) -> None:
        """Delete keys of another type and the position, so that the projector rebuilds all keys from the log."""
        log.error("read_model.spoilt", keys=spoilt[:20])
        SPOILT.inc(len(spoilt))
        await self._redis.delete(*spoilt, POSITION)

    async def _not_hashes(self, keys: list[str]) -> list[str]:
        types = [await self._redis.type(key) for key in keys]
        return [key for key, kind in zip(keys, types, strict=True) if kind not in ("hash", "none")]

    def _put_again(self, pipeline: Pipeline, state: SessionState) -> None:
        try:
            self._put(pipeline, state)
        except (ValueError, OverflowError):  # a date outside the range of Unix seconds: skip this state only
            log.exception("read_model.unreadable", session_id=state.session_id)

    async def _date_again(self, keys: list[str]) -> None:
        """Convert form 1's configurations, which had `updatedAt` in ISO 8601 and no TTL."""
        reading = self._redis.pipeline(transaction=False)
        for key in keys:
            reading.hget(key, "updatedAt")
        writing = self._redis.pipeline(transaction=False)
        for key, updated in zip(keys, await reading.execute(raise_on_error=False), strict=True):
            if not isinstance(updated, str) or updated.isdecimal():
                continue
            writing.hset(key, "updatedAt", _seconds_of(updated))
            writing.expire(key, self._user_ttl_s)  # from now on, so that an upgrade deletes none
        await writing.execute()

    def _put_config(self, pipeline: Pipeline, key: str, config: Mapping[str, str]) -> None:
        pipeline.hset(key, mapping={**config})
        pipeline.expireat(key, int(config["updatedAt"]) + self._user_ttl_s)

    def _put(self, pipeline: Pipeline, state: SessionState) -> None:
        keys = session_keys(state)
        expire_at = None
        if keys is not None:
            self._put_keys(pipeline, keys)
            if keys.ended_at is not None:
                expire_at = int(keys.ended_at.timestamp()) + self._ttl_s
        facts = facts_key(state.session_id)
        pipeline.set(facts, state.model_dump_json(exclude_none=True))
        if expire_at is not None:
            for key in (facts, session_key(state.session_id), f"agent:{state.session_id}:logs"):
                pipeline.expireat(key, expire_at)
        elif keys is None:
            pipeline.expire(facts, self._ttl_s)  # its request is lost, so no end will set a TTL

    def _put_keys(self, pipeline: Pipeline, keys: SessionKeys) -> None:
        session_id = keys.session_id
        pipeline.hset(session_key(session_id), mapping={**keys.fields})
        for name, member in ((SESSIONS_READY, keys.in_ready), (SESSIONS_STARTING, keys.in_starting)):
            (pipeline.sadd if member else pipeline.srem)(name, session_id)
        pid = f"agent:{session_id}:pid"
        pipeline.delete(pid) if keys.pid is None else pipeline.set(pid, keys.pid)
        pipeline.zadd(SESSIONS_BY_TIME, {session_id: int(keys.created_at.timestamp() * 1000)})


def _position(found: str | None) -> str | None:
    return found if found is not None and _POSITION.fullmatch(found) else None


def _config(user_name: str) -> str:
    return f"user:{user_name}:config"


def _seconds_of(iso: str) -> str:
    """Unix seconds; the current time if the text is not a date."""
    try:
        return unix(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return str(int(time()))
