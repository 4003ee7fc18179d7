"""The projector's side of the read model in Redis."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from datetime import datetime
from time import time

from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError, WatchError

from chassis.logs import get_logger
from gateway.adapters.redis_read_model import (
    FORMER_POSITIONS,
    POSITION,
    SCAN_PAGE,
    SESSIONS_BY_TIME,
    SESSIONS_READY,
    SESSIONS_STARTING,
    SPOILT,
    RedisReadModel,
    config_key,
    facts_key,
    is_position,
    session_key,
    summary_key,
    user_key,
)
from gateway.domain.read_model import SessionKeys, SessionState, session_keys, unix
from gateway.domain.summaries import listed
from gateway.ports import PositionMoved

_POOL = "pool:ready"
_TYPES = {SESSIONS_READY: "set", SESSIONS_STARTING: "set", SESSIONS_BY_TIME: "zset"}
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
        self._recent_s = ttl_s + _RECENT_SLACK_S

    async def position(self) -> str | None:
        """As the port's; it also deletes an index of another type than ours, together with the position."""
        async with self._asking(), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.mget([POSITION, *FORMER_POSITIONS])  # unlike GET, MGET treats a key of another type as missing
            for name in _TYPES:
                pipeline.type(name)
            (found, *former), *types = await pipeline.execute()
            if found is not None and any(_position(other) not in (None, found) for other in former):
                log.warning("read_model.written_by_another_version", position=found, others=former)
                await self._redis.delete(POSITION)
                found = None
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
                    self._put_config(pipeline, config_key(name), config)
                for index in {SESSIONS_BY_TIME, *_users_of(states)}:
                    pipeline.zremrangebyscore(index, "-inf", (time() - self._recent_s) * 1000)
                pipeline.set(POSITION, then)
                for former in FORMER_POSITIONS:
                    pipeline.set(former, then)
                await pipeline.execute()
            except WatchError as error:
                raise PositionMoved(f"the position is no longer {at}") from error
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                hashes = [session_key(state.session_id) for state in states]
                hashes += [config_key(name) for name in user_configs]
                spoilt = [*await self._others(hashes, "hash"), *await self._others(_users_of(states), "zset")]
                await self._start_over([*_TYPES, *spoilt])
                raise PositionMoved("a key had another type") from error

    async def write_again(self) -> None:
        """Write every key in today's form from the stored facts, since the log no longer has the older sessions."""
        # Delete the users' lists before they are rebuilt: a projector of an older version leaves erased names in them.
        await self._each_page(user_key("*"), self._delete)
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
        await self._each_page("user:*:config", self._date_again)

    async def _each_page(self, match: str, change: Callable[[list[str]], Awaitable[None]]) -> None:
        """Change the keys that match, a page at a time."""
        cursor = None
        while cursor != 0:
            async with self._asking():
                cursor, keys = await self._redis.scan(cursor or 0, match=match, count=SCAN_PAGE)
                await change(keys)

    async def _delete(self, keys: list[str]) -> None:
        if keys:
            await self._redis.delete(*keys)

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

    async def _others(self, keys: Iterable[str], kind: str) -> list[str]:
        """The keys of another type."""
        return [key for key in keys if await self._redis.type(key) not in (kind, "none")]

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
            self._put_users(pipeline, state, keys.created_at)
            if keys.ended_at is not None:
                expire_at = int(keys.ended_at.timestamp()) + self._ttl_s
        if state.erased is not None:
            pipeline.delete(f"agent:{state.session_id}:logs")
        facts, short = facts_key(state.session_id), summary_key(state.session_id)
        pipeline.set(facts, state.model_dump_json(exclude_none=True))
        # A TTL also while the session runs: an older version neither expires the summary nor erases it.
        pipeline.set(short, listed(state).model_dump_json(exclude_none=True), ex=self._recent_s)
        if expire_at is not None:
            for key in (facts, short, session_key(state.session_id), f"agent:{state.session_id}:logs"):
                pipeline.expireat(key, expire_at)
        elif keys is None:
            for key in (facts, short):
                pipeline.expire(key, self._ttl_s)  # its request is lost, so no end will set a TTL

    def _put_keys(self, pipeline: Pipeline, keys: SessionKeys) -> None:
        session_id = keys.session_id
        pipeline.hset(session_key(session_id), mapping={**keys.fields})
        for name, member in ((SESSIONS_READY, keys.in_ready), (SESSIONS_STARTING, keys.in_starting)):
            (pipeline.sadd if member else pipeline.srem)(name, session_id)
        pid = f"agent:{session_id}:pid"
        pipeline.delete(pid) if keys.pid is None else pipeline.set(pid, keys.pid)
        pipeline.zadd(SESSIONS_BY_TIME, {session_id: int(keys.created_at.timestamp() * 1000)})

    def _put_users(self, pipeline: Pipeline, state: SessionState, created_at: datetime) -> None:
        for index in _users_of([state]):
            pipeline.zadd(index, {state.session_id: int(created_at.timestamp() * 1000)})
            pipeline.expire(index, self._recent_s)


def _users_of(states: Iterable[SessionState]) -> set[str]:
    """The indexes that have these sessions: by user name and by user id."""
    requests = [state.requested for state in states if state.requested is not None]
    return {user_key(name) for each in requests for name in (each.user_name, each.user_id) if name}


def _position(found: str | None) -> str | None:
    return found if is_position(found) else None


def _seconds_of(iso: str) -> str:
    """Unix seconds; the current time if the text is not a date."""
    try:
        return unix(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return str(int(time()))
