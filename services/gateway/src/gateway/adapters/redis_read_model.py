"""The read model in Redis: the keys that other programs read, and the projector's own.

`projection:position:<form>` is the projector's position in the log, `projection:session:{id}` the facts from which a
session's keys are made, `projection:recent` the sessions by the time of their request. The README lists the others.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter, time
from typing import Any

from chassis.logs import get_logger
from contracts.api import Dependency
from pydantic import ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chassis import metrics
from gateway.domain.read_model import READY, STARTING, SessionKeys, SessionState, Status, session_keys, unix
from gateway.ports import Page, PositionMoved, ReadModelUnavailable

_FORM = 2  # of the keys; increment it when their content changes, so that every key is written again
POSITION = f"projection:position:{_FORM}"
# Form 1's position, kept up to date for a gateway of the older version that becomes projector during a rolling upgrade.
# A projector of this version then writes that gateway's keys again.
_FORMER_POSITION = "projection:position"
_RECENT = "projection:recent"
_READY, _STARTING, _POOL = "session:ready", "session:starting", "pool:ready"
_TYPES = {_READY: "set", _STARTING: "set", _RECENT: "zset"}
_POSITION = re.compile(r"[0-9]{1,19}")
_RECENT_SLACK_S = 24 * 3600  # longer than any session: its keys expire after its end, its index entry after its start
_SCAN_PAGE = 200
_SCAN_MAX = 2_000  # sessions examined for one page; a rare status takes several pages
_PAGE_STEPS = 50  # of _SCAN_PAGE index members each, including those without a session, which are removed
_TURNS = 16  # concurrent steps, each on a connection; parsing the answers of more would use up their deadlines
_TURN_S = 5.0  # longest wait for a turn

SPOILT = metrics.counter("read_model_spoilt_total", "Unreadable keys in Redis, which are written again")

log = get_logger(__name__)


class RedisReadModel:
    """`ports.ReadModel` and `ports.ReadModelWriter`.

    Args:
        deadline_s: For each step of a call, once it has its turn.
        ttl_s: TTL of a session's keys after its end, in seconds.
        user_ttl_s: TTL of a user's configuration after the user's last start, in seconds.
    """

    def __init__(self, url: str, *, deadline_s: float, ttl_s: int, user_ttl_s: int) -> None:
        # The default pool raises when its connections are in use; this one waits.
        pool: Any = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            max_connections=_TURNS,
            timeout=deadline_s,
            decode_responses=True,
            encoding_errors="replace",  # invalid UTF-8: the value then counts as unreadable
            socket_timeout=deadline_s,
            socket_connect_timeout=deadline_s,
            # Retry on a connection that a restart of Redis closed, but not after a timeout.
            retry=Retry(NoBackoff(), 1, supported_errors=(ConnectionError,)),
        )
        self._redis: Any = Redis.from_pool(pool)
        self._deadline_s = deadline_s
        self._ttl_s = ttl_s
        self._user_ttl_s = user_ttl_s
        self._turns = asyncio.Semaphore(_TURNS)
        self._silent_at = 0.0

    async def close(self) -> None:
        await self._redis.aclose()

    async def check(self) -> Dependency:
        began = perf_counter()
        try:
            async with self._asking():
                await self._redis.ping()
        except ReadModelUnavailable as error:
            return Dependency(ok=False, detail=error.detail)
        return Dependency(ok=True, latency_ms=round((perf_counter() - began) * 1000, 2))

    async def get(self, session_id: str) -> SessionState | None:
        return (await self.states([session_id])).get(session_id)

    async def page(self, statuses: frozenset[Status], *, limit: int, cursor: str | None) -> Page:
        found: list[SessionState] = []
        last = cursor
        looked_at = 0
        for _ in range(_PAGE_STEPS):
            async with self._asking():
                ids = await self._older_than(last)
                states = await self._load(ids)
                removed = await self._remove_empty([one for one in ids if one not in states])
            looked_at += len(ids) - len(removed)
            for session_id in ids:
                if session_id in removed:
                    continue
                state = states.get(session_id)
                last = session_id
                if state is None or (statuses and state.status not in statuses):
                    continue
                found.append(state)
                if len(found) == limit:
                    return Page(found, last)
            if len(ids) < _SCAN_PAGE:
                return Page(found, None)
            if looked_at >= _SCAN_MAX:
                break
        return Page(found, last)

    async def _remove_empty(self, session_ids: list[str]) -> frozenset[str]:
        """Remove members without facts from the index, and return them.

        A concurrent write of the projector, which may add their facts, prevents the removal.
        """
        if not session_ids:
            return frozenset()
        async with self._redis.pipeline(transaction=True) as pipeline:
            await pipeline.watch(_RECENT)
            values = await pipeline.mget([_facts(session_id) for session_id in session_ids])
            empty = [one for one, value in zip(session_ids, values, strict=True) if value is None]
            pipeline.multi()
            if empty:
                pipeline.zrem(_RECENT, *empty)
            try:
                await pipeline.execute()
            except WatchError:
                return frozenset()
        return frozenset(empty)

    async def count(self) -> Mapping[Status, int]:
        counts = dict.fromkeys(READY | STARTING, 0)
        async with self._asking():
            ids = [*await self._redis.sunion([_READY, _STARTING])]
            pipeline = self._redis.pipeline(transaction=False)
            for session_id in ids:
                pipeline.hget(_session(session_id), "status")
            for status in await pipeline.execute(raise_on_error=False):
                if isinstance(status, str) and status in counts:
                    counts[Status(status)] += 1
        return counts

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

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        async with self._asking():
            return await self._load(list(session_ids))

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
                pipeline.zremrangebyscore(_RECENT, "-inf", (time() - self._ttl_s - _RECENT_SLACK_S) * 1000)
                pipeline.set(POSITION, then)
                pipeline.set(_FORMER_POSITION, then)
                await pipeline.execute()
            except WatchError as error:
                raise PositionMoved(f"the position is no longer {at}") from error
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                hashes = [_session(state.session_id) for state in states] + [_config(name) for name in user_configs]
                await self._start_over([*_TYPES, *await self._not_hashes(hashes)])
                raise PositionMoved("a key had another type") from error

    async def _start_over(self, spoilt: list[str]) -> None:
        """Delete keys of another type and the position, so that the projector rebuilds all keys from the log."""
        log.error("read_model.spoilt", keys=spoilt[:20])
        SPOILT.inc(len(spoilt))
        await self._redis.delete(*spoilt, POSITION)

    async def _not_hashes(self, keys: list[str]) -> list[str]:
        types = [await self._redis.type(key) for key in keys]
        return [key for key, kind in zip(keys, types, strict=True) if kind not in ("hash", "none")]

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
            if len(ids) < _SCAN_PAGE:
                break
            last = ids[-1]
        cursor = 0
        while True:
            async with self._asking():
                cursor, keys = await self._redis.scan(cursor, match="user:*:config", count=_SCAN_PAGE)
                await self._date_again(keys)
            if cursor == 0:
                return

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

    def _put(self, pipeline: Pipeline, state: SessionState) -> None:
        keys = session_keys(state)
        expire_at = None
        if keys is not None:
            self._put_keys(pipeline, keys)
            if keys.ended_at is not None:
                expire_at = int(keys.ended_at.timestamp()) + self._ttl_s
        facts = _facts(state.session_id)
        pipeline.set(facts, state.model_dump_json(exclude_none=True))
        if expire_at is not None:
            for key in (facts, _session(state.session_id), f"agent:{state.session_id}:logs"):
                pipeline.expireat(key, expire_at)
        elif keys is None:
            pipeline.expire(facts, self._ttl_s)  # its request is lost, so no end will set a TTL

    def _put_keys(self, pipeline: Pipeline, keys: SessionKeys) -> None:
        session_id = keys.session_id
        pipeline.hset(_session(session_id), mapping={**keys.fields})
        for name, member in ((_READY, keys.in_ready), (_STARTING, keys.in_starting)):
            (pipeline.sadd if member else pipeline.srem)(name, session_id)
        pid = f"agent:{session_id}:pid"
        pipeline.delete(pid) if keys.pid is None else pipeline.set(pid, keys.pid)
        pipeline.zadd(_RECENT, {session_id: int(keys.created_at.timestamp() * 1000)})

    async def _load(self, session_ids: list[str]) -> dict[str, SessionState]:
        if not session_ids:
            return {}
        values = await self._redis.mget([_facts(session_id) for session_id in session_ids])
        states = (_state(*pair) for pair in zip(session_ids, values, strict=True))
        return {state.session_id: state for state in states if state is not None}

    @asynccontextmanager
    async def _asking(self) -> AsyncGenerator[None]:
        """Wait for a turn, then run one step within the deadline; translate Redis' errors."""
        clock = asyncio.get_running_loop().time
        arrived = clock()
        silent = f"Redis does not answer within {self._deadline_s:g} s"
        try:
            async with asyncio.timeout(_TURN_S):
                await self._turns.acquire()
        except TimeoutError as error:
            raise ReadModelUnavailable(f"Redis is busy: no turn within {_TURN_S:g} s") from error
        try:
            if self._silent_at > arrived:  # a step timed out during the wait: do not wait for a second timeout
                raise ReadModelUnavailable(silent)
            async with asyncio.timeout(self._deadline_s):
                yield
        except ResponseError as error:
            log.warning("redis.refuses", reason=str(error))
            raise ReadModelUnavailable("Redis refuses a command.") from error
        except (TimeoutError, RedisTimeoutError) as error:
            self._silent_at = clock()
            raise ReadModelUnavailable(silent) from error
        except (RedisError, OSError) as error:
            log.warning("redis.unavailable", reason=str(error))  # it names the address, which is not for the client
            raise ReadModelUnavailable("Redis does not answer.") from error
        finally:
            self._turns.release()

    async def _older_than(self, session_id: str | None) -> list[str]:
        start = 0
        if session_id is not None:
            rank = await self._redis.zrevrank(_RECENT, session_id)
            if rank is None:
                return []
            start = rank + 1
        return await self._redis.zrevrange(_RECENT, start, start + _SCAN_PAGE - 1)


def _position(found: str | None) -> str | None:
    return found if found is not None and _POSITION.fullmatch(found) else None


def _state(session_id: str, value: str | None) -> SessionState | None:
    """The state; None when it is missing or unreadable, so that the projector rebuilds it from the log."""
    if value is None:
        return None
    try:
        state = SessionState.model_validate_json(value)
    except ValidationError as error:
        log.error("read_model.unreadable", session_id=session_id, errors=error.error_count())
        SPOILT.inc()
        return None
    return state if state.session_id == session_id else None


def _config(user_name: str) -> str:
    return f"user:{user_name}:config"


def _session(session_id: str) -> str:
    return f"session:{session_id}"


def _seconds_of(iso: str) -> str:
    """Unix seconds; the current time if the text is not a date."""
    try:
        return unix(datetime.fromisoformat(iso))
    except (ValueError, OverflowError):
        return str(int(time()))


def _facts(session_id: str) -> str:
    return f"projection:session:{session_id}"
