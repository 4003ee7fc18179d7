"""Row 45: unreadable bytes in the log, Redis and the buckets; sessions beside them start, show, end and are billed."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from chassis.nats import Bus
from contracts.catalogue import MESSAGES
from contracts.events import SessionBilled, SessionEnded, SessionRequested
from contracts.schemas import EXAMPLES
from contracts.streams import BUCKETS, STREAMS
from contracts.subjects import session_event
from gateway.adapters.redis_projection import POSITION
from tests.integration.billing.service import Billing
from tests.integration.gateway.playing import a_request
from tests.integration.scheduler.stack import StandInNode
from tests.support.connections import written
from tests.support.servers import Gateway, NatsServer, RedisServer, Scheduler
from tests.support.waiting import until

LIMIT_S = 15.0
VICTIMS = [f"session_victim_{n}" for n in range(4)]
SESSIONS = count(1)

Poison = Callable[["Stack", Bus, Redis], Awaitable[None]]


@dataclass
class Stack:
    """All services that read, on a NATS and a Redis of this file's own."""

    nats: NatsServer
    redis: RedisServer
    gateway: Gateway
    scheduler: Scheduler
    billing: Billing


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("poison")
    (folder / "billing").mkdir()
    with ExitStack() as running:
        nats, redis = NatsServer(folder / "nats"), RedisServer(folder / "redis")
        running.enter_context(nats)
        running.enter_context(redis)
        billing = Billing(
            folder / "billing", database_url=f"sqlite+aiosqlite:///{folder / 'billing.db'}", nats_url=nats.url
        )
        billing.migrate()
        scheduler = Scheduler(folder / "scheduler", nats.url, RECONCILE_S="2")
        gateway = Gateway(
            folder / "gateway",
            {"NATS_URL": nats.url, "REDIS_URL": redis.url, "LIVEKIT_URL": "ws://127.0.0.1:9", "END_WAIT_S": "8"},
        )
        running.enter_context(scheduler)
        running.enter_context(gateway)
        asyncio.run(billing.start())
        running.callback(billing.kill9)
        yield Stack(nats, redis, gateway, scheduler, billing)


# --- what is thrown at them

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(10**40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_ODD_TIMES = st.sampled_from(["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "2025-01-01T00:00:00", 1e300])
_ALMOST = {
    message.name: json.loads((EXAMPLES / f"{message.name}.json").read_text(encoding="utf-8"))["body"]
    for message in MESSAGES
    if message.kind in ("event", "value")
}
_DEEP = b'{"x":' * 300 + b"1" + b"}" * 300


@st.composite
def _bodies(draw: st.DrawFn, name: str | None = None, session_id: str | None = None) -> bytes:
    """Any bytes, any JSON, or a good message with some fields spoilt."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.binary(max_size=200))
    if kind == 1:
        return draw(st.just(_DEEP) | st.just(b"") | st.just(b'{"session_id": "\\ud800"}'))
    if kind == 2:
        return json.dumps(draw(_JSON)).encode()
    body = dict(_ALMOST[name or draw(st.sampled_from(sorted(_ALMOST)))])
    if session_id is not None and "session_id" in body:
        body["session_id"] = session_id
    for field in draw(st.lists(st.sampled_from(sorted(body)), max_size=2)):
        body[field] = draw(_ODD_TIMES if field in ("time", "at") else _JSON)
    return json.dumps(body).encode()


_HEADERS = st.dictionaries(
    st.sampled_from(["Status", "traceparent", "KV-Operation", "ce-id", "Nats-Marker-Reason", "Nats-Sequence", "X"]),
    st.sampled_from(["404", "", "DEL", "MaxAge", "00-zz-zz-zz", "\N{SNOWMAN}"]),
    max_size=2,
)


@st.composite
def _into_the_log(draw: st.DrawFn) -> Poison:
    session_id = draw(st.sampled_from(VICTIMS))
    event = draw(st.sampled_from([m.removeprefix("voice.v1.session.") for m in _ALMOST if "session." in m] + ["new"]))
    if draw(st.integers(0, 5)) == 0:
        session_id = draw(st.sampled_from(["x", "a.b", "s" * 300, "session_é"]))
    place = f"voice.v1.room.participant_left.{session_id}" if event == "new" else session_event(event, session_id)
    name = f"voice.v1.session.{event}" if event != "new" else "voice.v1.room"
    body, headers = draw(_bodies(name, session_id)), draw(_HEADERS)

    async def poison(_stack: Stack, bus: Bus, _redis: Redis) -> None:
        await bus.nc.publish(place, body, headers=dict(headers) or None)

    return poison


@st.composite
def _into_a_bucket(draw: st.DrawFn) -> Poison:
    bucket = draw(st.sampled_from(["nodes", "slots", "prejoined", "idempotency", "leaders"]))
    keys = ["0", "1", "007", "n9", "x.y", "x/é", "9" * 30, *VICTIMS]
    key, body = draw(st.sampled_from(keys)), draw(_bodies(f"kv.{bucket}"))
    headers = draw(_HEADERS)

    async def poison(_stack: Stack, bus: Bus, _redis: Redis) -> None:
        await bus.nc.publish(f"$KV.{bucket}.{key}", body, headers=dict(headers) or None)

    return poison


@st.composite
def _into_redis(draw: st.DrawFn) -> Poison:
    victim = draw(st.sampled_from(VICTIMS))
    fixed = [POSITION, "projection:position", "projection:recent", "session:ready", "session:starting", "pool:ready"]
    own = ["projection:session:{}", "projection:summary:{}", "session:{}", "agent:{}:pid", "agent:{}:logs"]
    key = draw(
        st.sampled_from([*fixed, "user:Ann:config", "projection:user:Ann", *(name.format(victim) for name in own)])
    )
    kind, value = draw(st.sampled_from(["string", "list", "hash", "set", "zset"])), draw(_bodies())

    async def poison(_stack: Stack, _bus: Bus, redis: Redis) -> None:
        commands: dict[str, tuple[Any, ...]] = {
            "string": ("SET", key, value),
            "list": ("RPUSH", key, value),
            "hash": ("HSET", key, "status", value),
            "set": ("SADD", key, value),
            "zset": ("ZADD", key, 1, value),
        }
        # in one transaction: the projector writes the same keys, and a key of another type refuses the command
        async with redis.pipeline(transaction=True) as both:
            if kind != "string":
                both.delete(key)
            both.execute_command(*commands[kind])
            await both.execute()

    return poison


# --- and how they go on


async def goes_on(bus: Bus, redis: Redis, api: httpx.AsyncClient) -> None:
    """One more session: assigned, shown, ended and billed."""
    session_id = f"session_good_{next(SESSIONS)}"
    await bus.publish(a_request(session_id), expect_last=0)

    async def is_active() -> bool:
        return await redis.type(f"session:{session_id}") == b"hash" and (
            await redis.hget(f"session:{session_id}", "status") == b"active"
        )

    async def is_billed() -> bool:
        last = await bus.last(session_event(SessionBilled.event, session_id))
        return last is not None and isinstance(last.event, SessionBilled)

    async def is_listed() -> bool:
        answer = await api.get("/sessions", params={"limit": 100})
        return answer.status_code == 200 and session_id in answer.text

    await until(is_active, LIMIT_S, f"{session_id} is active in Redis")
    answer = await api.post("/orchestrator/session/end", json={"sessionId": session_id})
    assert answer.status_code == 200, answer.text
    await until(is_billed, LIMIT_S, f"{session_id} is billed")
    await until(is_listed, LIMIT_S, f"{session_id} is listed")
    for victim in VICTIMS:
        shown = await api.get(f"/sessions/{victim}")
        assert shown.status_code < 500 or shown.json()["code"] == "session_unreadable", shown.text


async def scenario(stack: Stack, poisons: list[Poison]) -> None:
    bus = await Bus.connect(stack.nats.url, name="poisoner")
    redis: Redis = Redis.from_url(stack.redis.url)
    async with httpx.AsyncClient(base_url=stack.gateway.url, timeout=20, trust_env=False) as api:
        try:
            await bus.ensure(STREAMS, BUCKETS)
            async with StandInNode(bus, "n1", slots=50):
                for poison in poisons:
                    await poison(stack, bus, redis)
                await written(bus.nc)
                await goes_on(bus, redis, api)
        finally:
            await redis.aclose()
            await bus.close()


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(st.lists(_into_the_log() | _into_a_bucket() | _into_redis(), min_size=40, max_size=60))
def test_whatever_stands_in_the_log_in_redis_and_in_the_buckets_the_others_go_on(
    stack: Stack, poisons: list[Poison]
) -> None:
    asyncio.run(scenario(stack, poisons))


def test_a_request_that_cannot_be_read_is_ended_and_said_so_once(stack: Stack) -> None:
    asyncio.run(unreadable_request(stack))


async def unreadable_request(stack: Stack) -> None:
    bus = await Bus.connect(stack.nats.url, name="poisoner")
    session_id = "session_unread"
    async with httpx.AsyncClient(base_url=stack.gateway.url, timeout=20, trust_env=False) as api:
        try:
            await bus.ensure(STREAMS, BUCKETS)
            await bus.nc.publish(session_event(SessionRequested.event, session_id), _DEEP)

            async def ended() -> SessionEnded | None:
                last = await bus.last(session_event(SessionEnded.event, session_id))
                return last.event if last is not None and isinstance(last.event, SessionEnded) else None

            end = await until(ended, LIMIT_S, "the session is ended")
            assert (end.outcome, end.reason, end.epoch) == ("failed", "unreadable_log", 0)
            shown = await api.get(f"/sessions/{session_id}")
            assert (shown.status_code, shown.json()["code"]) == (500, "session_unreadable")
            for _ in range(2):
                answer = await api.post("/orchestrator/session/end", json={"sessionId": session_id})
                assert (answer.status_code, answer.json()["details"]["durationSeconds"]) == (200, 0)
            await asyncio.sleep(0.5)
            letters = [
                m
                async for m in bus.replay("dead.unreadable.>", until_caught_up=True)
                if session_id in m.headers["dead-subject"]
            ]
            assert len(letters) == 1
            assert letters[0].data == _DEEP
        finally:
            await bus.close()
