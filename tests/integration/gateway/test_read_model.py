"""The read model on a real Redis, written from a log on a real NATS."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from chassis.nats import Bus
from contracts.events import Outcome
from contracts.registry import PrejoinedRoom
from contracts.streams import NODES, PREJOINED
from gateway.adapters.redis_projection import POSITION, RedisProjection
from gateway.domain.read_model import Status, fold_all
from gateway.ports import PositionMoved, ReadModelUnavailable
from tests.integration.gateway.conftest import TTL_S, USER_TTL_S
from tests.integration.gateway.playing import a_place_in_the_queue, a_request, a_running_call, an_end, publish
from tests.integration.gateway.projecting import projecting, until_at
from tests.support.scheduler.builders import node
from tests.support.servers import RedisServer
from tests.support.waiting import until

TIMES = ("createdAt", "startTime", "conversationStartTime")


async def contents(redis: Any) -> dict[str, Any]:
    """All that is in Redis, by key, as comparable values."""
    found: dict[str, Any] = {}
    for key in sorted(await redis.keys("*")):
        match await redis.type(key):
            case "hash":
                found[key] = await redis.hgetall(key)
            case "set":
                found[key] = await redis.smembers(key)
            case "zset":
                found[key] = await redis.zrange(key, 0, -1, withscores=True)
            case _:
                found[key] = await redis.get(key)
    return found


async def test_a_call_shows_under_exactly_the_keys_of_the_schema(bus: Bus, model: RedisProjection, redis: Any) -> None:
    await publish(bus, a_request("session_a"), *a_running_call("session_a"))
    async with projecting(bus, model):
        await until_at(model, 4)

    keys = {key for key in await contents(redis) if not key.startswith("projection:")}
    assert keys == {"session:session_a", "user:Ann:config", "agent:session_a:pid", "session:ready"}
    assert await redis.smembers("session:ready") == {"session_a"}
    assert await redis.get("agent:session_a:pid") == "4711"
    assert await redis.hget("session:session_a", "status") == "active"
    assert set(await redis.hgetall("user:Ann:config")) == {"voiceId", "openingLine", "systemPrompt", "updatedAt"}
    assert await redis.ttl("projection:user:Ann") > 0, "the list goes with the last session in it"
    assert await redis.ttl("projection:summary:session_a") > TTL_S, "an older version would leave it for ever"
    passing = ("user:Ann:config", "projection:user:Ann", "projection:summary:session_a")
    lasting = [key for key in await redis.keys("*") if key not in passing]
    assert {await redis.ttl(key) for key in lasting} == {-1}, "nothing of a running session expires"
    assert USER_TTL_S - 60 < await redis.ttl("user:Ann:config") <= USER_TTL_S


async def test_times_are_whole_unix_seconds_as_programs_read_them(bus: Bus, model: RedisProjection, redis: Any) -> None:
    await publish(bus, a_request("session_a"), *a_running_call("session_a"))
    async with projecting(bus, model):
        await until_at(model, 4)

    for key, name in [*(("session:session_a", name) for name in TIMES), ("user:Ann:config", "updatedAt")]:
        assert -1 <= time.time() - int(await redis.hget(key, name)) < 60, name


async def test_what_the_former_version_wrote_becomes_integers(bus: Bus, model: RedisProjection, redis: Any) -> None:
    """Also where the log has dropped the session's events and the user's last start."""
    await publish(bus, a_request("session_new"), *a_running_call("session_new"))
    kept = fold_all([a_request("session_old"), *a_running_call("session_old")])
    assert kept is not None
    await model.write([kept], {}, at=None, then="3")
    for session_id in ("session_old", "session_new"):
        await redis.hset(f"session:{session_id}", mapping=dict.fromkeys(TIMES, "2026-11-24T12:00:00.123Z"))
    await redis.hset("user:Eve:config", mapping={"voiceId": "Ashley", "updatedAt": "2026-11-24T12:00:00.123Z"})
    await redis.delete(POSITION)
    await redis.set("projection:position", "3")

    async with projecting(bus, model):
        await until_at(model, 4)

    for session_id in ("session_old", "session_new"):
        for name in TIMES:
            assert int(await redis.hget(f"session:{session_id}", name)) > 0
    assert await redis.hgetall("user:Eve:config") == {"voiceId": "Ashley", "updatedAt": "1795521600"}
    assert await redis.ttl("user:Eve:config") > 0
    assert await redis.get("projection:position") == "4", "where a gateway of the former version goes on"


async def test_the_pool_has_a_member_for_each_agent_that_waits(bus: Bus, model: RedisProjection, redis: Any) -> None:
    nodes, ahead = bus.bucket(NODES), bus.bucket(PREJOINED)
    now = a_request().time
    room = PrejoinedRoom(session_id="session_ahead", node_id="n1", joined_at=now, expires_at=now + timedelta(hours=1))
    await nodes.put("n1", _node("n1", warm=3), ttl_s=60)
    await nodes.put("n2", _node("n2", warm=1), ttl_s=60)
    async with projecting(bus, model):
        await until_pool(redis, {"n1:0", "n1:1", "n1:2", "n2:0"})
        await ahead.put("session_ahead", room.model_dump_json().encode(), ttl_s=60)
        await nodes.put("n1", _node("n1", warm=1), ttl_s=60)
        await until_pool(redis, {"n1:0", "n2:0", "session_ahead"})
        await redis.delete("pool:ready")
        await until_pool(redis, {"n1:0", "n2:0", "session_ahead"})
        await nodes.put("n2", _node("n2", warm=1, draining=True), ttl_s=60)
        await until_pool(redis, {"n1:0", "session_ahead"})


@pytest.fixture
async def patient_model(redis_url: str) -> AsyncIterator[RedisProjection]:
    """Reads on a busy machine, where a step may take longer than the gateway would wait."""
    model = RedisProjection(redis_url, deadline_s=20, ttl_s=TTL_S, user_ttl_s=USER_TTL_S)
    yield model
    await model.close()


async def test_two_hundred_reads_at_once_wait_for_a_connection(
    patient_model: RedisProjection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.adapters.redis_read_model._TURN_S", 120.0)  # all must answer, however busy the machine
    model = patient_model
    states = [fold_all([a_request(f"session_{n}"), *a_running_call(f"session_{n}")]) for n in range(50)]
    await model.write([state for state in states if state is not None], {}, at=None, then="1")

    pages = await asyncio.gather(*(model.page(frozenset(), limit=50, cursor=None) for _ in range(200)))
    found = await asyncio.gather(*(model.get(f"session_{n % 50}") for n in range(200)))
    counts = await asyncio.gather(*(model.count() for _ in range(200)))

    assert {len(page.sessions) for page in pages} == {50}
    assert [state.session_id for state in found if state] == [f"session_{n % 50}" for n in range(200)]
    assert {count[Status.ACTIVE] for count in counts} == {50}


async def test_readers_that_give_up_leave_the_connections_in_order(
    model: RedisProjection, redis_server: RedisServer
) -> None:
    states = [fold_all([a_request(f"session_{n}")]) for n in range(70)]
    await model.write([state for state in states if state is not None], {}, at=None, then="1")
    redis_server.freeze()
    try:
        answers = await asyncio.gather(*(model.get(f"session_{n}") for n in range(70)), return_exceptions=True)
    finally:
        redis_server.thaw()

    assert {type(answer) for answer in answers} == {ReadModelUnavailable}
    found = await asyncio.gather(*(model.get(f"session_{n}") for n in range(70)))
    assert [state.session_id for state in found if state] == [f"session_{n}" for n in range(70)]


def _node(node_id: str, *, warm: int, draining: bool = False) -> bytes:
    return node(node_id, warm=warm, draining=draining).model_dump_json().encode()


async def until_pool(redis: Any, members: set[str]) -> None:
    async def shown() -> bool:
        return await redis.smembers("pool:ready") == members

    await until(shown)
    assert await redis.scard("pool:ready") == len(members)


async def until_as(redis: Any, before: dict[str, Any], when: str) -> None:
    """Wait for these contents: the nodes' part of them comes from another task than the sessions'."""
    found: dict[str, Any] = {}

    async def is_as_before() -> bool:
        nonlocal found
        found = await contents(redis)
        return found == before

    with suppress(AssertionError):
        await until(is_as_before, 10)
    assert found == before, when


async def test_an_ended_session_leaves_the_sets_and_expires(bus: Bus, model: RedisProjection, redis: Any) -> None:
    await redis.rpush("agent:session_a:logs", "a line")
    await publish(bus, a_request("session_a"), *a_running_call("session_a"), *an_end("session_a"))
    async with projecting(bus, model):
        await until_at(model, 6)

    assert set(await redis.hgetall("session:session_a")) == {
        *("userName", "userId", "voiceId", "openingLine", "systemPrompt", "status", "agentPid", "createdAt"),
        *("startTime", "conversationStartTime", "conversationDuration", "conversationDurationMinutes"),
        *("celeryTaskId", "logFile"),
    }
    assert await redis.exists("agent:session_a:pid", "session:ready", "session:starting") == 0
    for key in ("session:session_a", "projection:session:session_a", "agent:session_a:logs"):
        assert TTL_S - 60 < await redis.ttl(key) <= TTL_S


async def test_whatever_empties_redis_the_read_model_comes_back_as_it_was(
    bus: Bus, model: RedisProjection, redis: Any, redis_server: RedisServer
) -> None:
    await bus.bucket(NODES).put("n1", _node("n1", warm=2), ttl_s=60)
    await publish(bus, a_request("session_a"), *a_running_call("session_a"), *an_end("session_a"))
    await publish(bus, a_request("session_b", user_name="Bob"), *a_running_call("session_b"))
    await publish(bus, a_request("session_c"), a_place_in_the_queue("session_c"))
    async with projecting(bus, model):
        await until_at(model, 12)
        await until_pool(redis, {"n1:0", "n1:1"})
        before = await contents(redis)

        await redis.flushall()
        await until_at(model, 12)
        await until_as(redis, before, "after FLUSHALL, without any new event")

        redis_server.restart()
        await until_at(model, 12)
        await until_as(redis, before, "after a restart that forgot everything")

        await redis.flushall()
        await publish(bus, *an_end("session_b"))
        await until_at(model, 14)
        assert await redis.hget("session:session_b", "status") == "ended"
        assert await redis.hget("session:session_a", "conversationDurationMinutes") == "2"


async def test_events_go_on_where_the_last_projector_stopped(bus: Bus, model: RedisProjection, redis: Any) -> None:
    await publish(bus, a_request("session_a"))
    async with projecting(bus, model):
        await until_at(model, 1)
    await publish(bus, *a_running_call("session_a"))
    async with projecting(bus, model):
        await until_at(model, 4)

    assert await redis.hget("session:session_a", "status") == "active"


async def test_a_deposed_projector_changes_nothing(model: RedisProjection, redis: Any) -> None:
    state = fold_all([a_request("session_a")])
    assert state is not None
    await model.write([state], {}, at=None, then="7")
    before = await contents(redis)

    for stale in (None, "6"):
        with pytest.raises(PositionMoved):
            await model.write([state], {"Eve": {"voiceId": "x"}}, at=stale, then="8")

    assert await contents(redis) == before


async def test_a_full_redis_refuses_writes_evicts_nothing_and_reads_on(
    bus: Bus, model: RedisProjection, redis: Any
) -> None:
    await publish(bus, a_request("session_a"))
    async with projecting(bus, model):
        await until_at(model, 1)
        await redis.config_set("maxmemory", "1")
        await publish(bus, *a_running_call("session_a"))
        await asyncio.sleep(0.5)

        kept = await model.get("session_a")
        assert kept is not None
        assert kept.status is Status.REQUESTED
        with pytest.raises(ReadModelUnavailable, match="Redis refuses"):
            await model.write([kept], {}, at="1", then="2")

        await redis.config_set("maxmemory", "0")
        await until_at(model, 4)
    assert await redis.hget("session:session_a", "status") == "active"


async def test_sessions_are_paged_the_newest_first_by_status(model: RedisProjection) -> None:
    names = [f"session_{n}" for n in range(25)]
    running = [fold_all([a_request(name), *a_running_call(name)]) for name in names]
    over = [fold_all([a_request(f"{name}_over"), *an_end(f"{name}_over", outcome=Outcome.REJECTED)]) for name in names]
    states = [state for pair in zip(running, over, strict=True) for state in pair if state is not None]
    await model.write(states, {}, at=None, then="1")

    seen: list[str] = []
    cursor = None
    while True:
        page = await model.page(frozenset({Status.ACTIVE}), limit=10, cursor=cursor)
        seen += [state.session_id for state in page.sessions]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert sorted(seen) == sorted(names)
    assert len(seen) == 25
    everything = await model.page(frozenset(), limit=100, cursor=None)
    created = [state.requested.time for state in everything.sessions if state.requested]
    assert [at.timestamp() // 1 for at in created] == sorted((at.timestamp() // 1 for at in created), reverse=True)
    assert len(created) == 50
    assert await model.count() == {
        Status.REQUESTED: 0,
        Status.QUEUED: 0,
        Status.STARTING: 0,
        Status.READY: 0,
        Status.ACTIVE: 25,
    }


async def test_members_of_the_index_without_a_session_are_removed_and_empty_no_list(
    model: RedisProjection, redis: Any
) -> None:
    state = fold_all([a_request("session_real"), *a_running_call("session_real")])
    assert state is not None
    await model.write([state], {}, at=None, then="1")
    later = time.time() * 1000 + 60_000
    await redis.zadd("projection:recent", {f"garbage_{n}": later + n for n in range(2_100)})

    page = await model.page(frozenset({Status.ACTIVE}), limit=10, cursor=None)

    assert [state.session_id for state in page.sessions] == ["session_real"]
    assert await redis.zrange("projection:recent", 0, -1) == ["session_real"]


async def test_a_page_looks_at_a_bounded_number_of_members(model: RedisProjection, redis: Any) -> None:
    await redis.zadd("projection:recent", {f"garbage_{n}": n for n in range(11_000)})

    page = await model.page(frozenset(), limit=10, cursor=None)

    assert list(page.sessions) == []
    assert 0 < await redis.zcard("projection:recent") <= 1_000


async def test_a_cursor_that_is_gone_ends_the_list(model: RedisProjection) -> None:
    page = await model.page(frozenset(), limit=10, cursor="session_gone")

    assert (list(page.sessions), page.next_cursor) == ([], None)
