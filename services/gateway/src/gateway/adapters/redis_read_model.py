"""The read model in Redis: the keys that other programs read, and the projector's own.

`projection:position:<form>` is the projector's position in the log, `projection:session:{id}` the facts from which a
session's keys are made, `projection:summary:{id}` those of them that a list shows, `projection:recent` the sessions by
the time of their request, `projection:user:{name}` those of one user. The README lists the others.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from time import perf_counter
from typing import Any

from pydantic import ValidationError
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError, ResponseError, WatchError
from redis.exceptions import TimeoutError as RedisTimeoutError

from chassis import metrics
from chassis.logs import get_logger
from contracts.api import Dependency
from gateway.domain.read_model import READY, STARTING, SessionState, Status
from gateway.domain.session_filter import Cursor, SessionFilter
from gateway.ports import Page, ReadModelUnavailable

_FORM = 4  # of the keys and the facts; increment it when their content changes, so that all are written again
POSITION = f"projection:position:{_FORM}"
# The positions of the former forms, kept up to date for a gateway of an older version that becomes projector during a
# rolling upgrade. It advances only its own position: if that one differs, the facts may lack this form's fields.
FORMER_POSITIONS = ("projection:position", "projection:position:2", "projection:position:3")
SESSIONS_BY_TIME = "projection:recent"
SESSIONS_READY, SESSIONS_STARTING = "session:ready", "session:starting"
SCAN_PAGE = 200
_POSITION_FORM = re.compile(r"[0-9]{1,19}")
_SCAN_MAX = 2_000  # sessions examined for one page; a rare status takes several pages
_PAGE_STEPS = 50  # of SCAN_PAGE index members each, including those without a session, which are removed
_TURNS = 16  # concurrent steps, each on a connection; parsing the answers of more would use up their deadlines
_TURN_S = 5.0  # longest wait for a turn

SPOILT = metrics.counter("read_model_spoilt_total", "Unreadable keys in Redis, which are written again")

log = get_logger(__name__)


_Loader = Callable[[list[str]], Awaitable[dict[str, SessionState]]]


class RedisReadModel:
    """`ports.ReadModel`.

    Args:
        deadline_s: For each step of a call, once it has its turn.
    """

    def __init__(self, url: str, *, deadline_s: float) -> None:
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
            if len(ids) < SCAN_PAGE:
                return Page(found, None)
            if looked_at >= _SCAN_MAX:
                break
        return Page(found, last)

    async def find(
        self, wanted: SessionFilter, *, limit: int, after: Cursor | None
    ) -> tuple[Sequence[SessionState], Cursor | None]:
        found: list[SessionState] = []
        looked_at = steps = 0
        num = limit
        async with self._asking():
            index, load = await self._fastest(wanted.user)
        while looked_at < _SCAN_MAX and steps < _PAGE_STEPS:
            async with self._asking():
                members = await self._members(index, wanted, after, num)
                states = await load([session_id for _, session_id in members])
                removed = await self._remove_empty([one for _, one in members if one not in states], index)
            steps += 1
            looked_at += len(members) - len(removed)
            for member in members:
                after = member
                state = states.get(member.session_id)
                if state is None or not wanted.matches(state):
                    continue
                found.append(state)
                if len(found) == limit:
                    return found, after
            if len(members) < num:
                return found, None
            num = min(2 * num, SCAN_PAGE)
        return found, after

    async def _fastest(self, user: str | None) -> tuple[str, _Loader]:
        """The index and the values for a list; a projector of an older version leaves the later ones as they were."""
        own = SESSIONS_BY_TIME if user is None else user_key(user)
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.mget([POSITION, *FORMER_POSITIONS])  # unlike GET, MGET treats a key of another type as missing
            pipeline.type(own)
            (found, *former), kind = await pipeline.execute()
        if not is_position(found) or any(is_position(other) and other != found for other in former):
            return SESSIONS_BY_TIME, self._load
        return own if kind in ("zset", "none") else SESSIONS_BY_TIME, self._load_summaries

    async def _members(self, index: str, wanted: SessionFilter, after: Cursor | None, num: int) -> list[Cursor]:
        """The next members of the index: the latest first, and of one ms the greatest id first."""
        newest, same_ms = "+inf" if wanted.until is None else str(_ms(wanted.until)), 0
        if after is not None:
            beside = await self._redis.zrangebyscore(index, after.at_ms, after.at_ms)
            newest, same_ms = str(after.at_ms), sum(1 for session_id in beside if session_id >= after.session_id)
        oldest = "-inf" if wanted.since is None else _ms(wanted.since)
        pairs = await self._redis.zrevrangebyscore(index, newest, oldest, start=same_ms, num=num, withscores=True)
        return [Cursor(int(score), session_id) for session_id, score in pairs]

    async def open_sessions(self) -> list[SessionState]:
        async with self._asking():
            ids = [*await self._redis.sunion([SESSIONS_READY, SESSIONS_STARTING])]
        found: list[SessionState] = []
        for begin in range(0, len(ids), SCAN_PAGE):
            async with self._asking():
                found += (await self._load(ids[begin : begin + SCAN_PAGE])).values()
        return found

    async def count(self) -> Mapping[Status, int]:
        counts = dict.fromkeys(READY | STARTING, 0)
        async with self._asking():
            ids = [*await self._redis.sunion([SESSIONS_READY, SESSIONS_STARTING])]
            pipeline = self._redis.pipeline(transaction=False)
            for session_id in ids:
                pipeline.hget(session_key(session_id), "status")
            for status in await pipeline.execute(raise_on_error=False):
                if isinstance(status, str) and status in counts:
                    counts[Status(status)] += 1
        return counts

    async def states(self, session_ids: Iterable[str]) -> dict[str, SessionState]:
        async with self._asking():
            return await self._load(list(session_ids))

    async def delete_from_lists(self, session_id: str, configs: Iterable[tuple[str, str]]) -> None:
        async with self._asking():
            await self._redis.delete(summary_key(session_id))  # a projector of an older version would leave it
        for user_name, updated_at in configs:
            await self._delete_config(session_id, user_name, updated_at)

    async def _delete_config(self, session_id: str, user_name: str, updated_at: str) -> None:
        key, index = config_key(user_name), user_key(user_name)
        async with self._asking():
            if await self._redis.type(index) == "zset":
                await self._redis.zrem(index, session_id)
            if await self._redis.type(key) == "hash" and await self._redis.hget(key, "updatedAt") == updated_at:
                await self._redis.delete(key)

    async def _remove_empty(self, session_ids: list[str], index: str = SESSIONS_BY_TIME) -> frozenset[str]:
        """Remove members without facts from the index, and return them.

        A concurrent write of the projector, which may add their facts, prevents the removal.
        """
        if not session_ids:
            return frozenset()
        async with self._redis.pipeline(transaction=True) as pipeline:
            await pipeline.watch(index)
            values = await pipeline.mget([facts_key(session_id) for session_id in session_ids])
            empty = [one for one, value in zip(session_ids, values, strict=True) if value is None]
            pipeline.multi()
            if empty:
                pipeline.zrem(index, *empty)
            try:
                await pipeline.execute()
            except WatchError:
                return frozenset()
        return frozenset(empty)

    async def _load(self, session_ids: list[str]) -> dict[str, SessionState]:
        if not session_ids:
            return {}
        values = await self._redis.mget([facts_key(session_id) for session_id in session_ids])
        states = (_state(*pair) for pair in zip(session_ids, values, strict=True))
        return {state.session_id: state for state in states if state is not None}

    async def _load_summaries(self, session_ids: list[str]) -> dict[str, SessionState]:
        """The states without prompts; from its facts where a session has no summary."""
        if not session_ids:
            return {}
        values = await self._redis.mget([summary_key(session_id) for session_id in session_ids])
        states = (_state(*pair) for pair in zip(session_ids, values, strict=True))
        found = {state.session_id: state for state in states if state is not None}
        return found | await self._load([session_id for session_id in session_ids if session_id not in found])

    async def _older_than(self, session_id: str | None) -> list[str]:
        start = 0
        if session_id is not None:
            rank = await self._redis.zrevrank(SESSIONS_BY_TIME, session_id)
            if rank is None:
                return []
            start = rank + 1
        return await self._redis.zrevrange(SESSIONS_BY_TIME, start, start + SCAN_PAGE - 1)

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


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def is_position(found: str | None) -> bool:
    return found is not None and _POSITION_FORM.fullmatch(found) is not None


def session_key(session_id: str) -> str:
    return f"session:{session_id}"


def config_key(user_name: str) -> str:
    return f"user:{user_name}:config"


def facts_key(session_id: str) -> str:
    return f"projection:session:{session_id}"


def summary_key(session_id: str) -> str:
    return f"projection:summary:{session_id}"


def user_key(user: str) -> str:
    return f"projection:user:{user}"
