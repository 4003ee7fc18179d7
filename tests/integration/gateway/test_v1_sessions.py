"""Sessions that one can look into, on a real Redis, a real NATS and a running gateway."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.nats import Bus
from contracts.events import Outcome, SessionErased, SessionRequested
from gateway.adapters.redis_projection import POSITION, RedisProjection
from gateway.adapters.redis_read_model import SESSIONS_BY_TIME, facts_key, summary_key, user_key
from gateway.domain.read_model import SessionState, Status, fold, fold_all
from gateway.domain.session_filter import Cursor, SessionFilter
from tests.integration.gateway.conftest import TTL_S
from tests.integration.gateway.playing import a_bill, a_request, a_running_call, a_turn, an_end, publish
from tests.integration.gateway.projecting import projecting, until_at
from tests.support.servers import Gateway
from tests.support.waiting import until

SINCE = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
ANY = SessionFilter()


def state(n: int, *, at: datetime | None = None, user: str = "Ann", **fields: Any) -> SessionState:
    asked = a_request(f"session_{n:04}", user_name=user)
    made = fold_all([asked.model_copy(update={"time": at or SINCE + timedelta(seconds=n), **fields})])
    assert made is not None
    return made


async def store(model: RedisProjection, *states: SessionState) -> None:
    for n in range(0, len(states), 200):  # each write has a deadline of a second
        at = await model.position()
        await model.write(states[n : n + 200], {}, at=at, then=str(int(at or 0) + 1))


async def pages(model: RedisProjection, wanted: SessionFilter, limit: int) -> list[list[str]]:
    found: list[list[str]] = []
    after: Cursor | None = None
    while True:
        page, after = await model.find(wanted, limit=limit, after=after)
        found.append([each.session_id for each in page])
        if after is None:
            return found


async def test_the_pages_hold_each_session_once_the_newest_first(model: RedisProjection) -> None:
    await store(model, *(state(n, at=SINCE) for n in range(3)), *(state(n) for n in range(3, 250)))

    found = await pages(model, ANY, 100)

    assert [each for page in found for each in page] == [f"session_{n:04}" for n in reversed(range(250))]


async def test_a_cursor_outlives_its_session(model: RedisProjection, redis: Any) -> None:
    await store(model, *(state(n, at=SINCE) for n in range(4)))
    _, after = await model.find(ANY, limit=2, after=None)

    await redis.zrem(SESSIONS_BY_TIME, "session_0002")
    rest, _ = await model.find(ANY, limit=10, after=after)

    assert [each.session_id for each in rest] == ["session_0001", "session_0000"]


async def test_a_rare_condition_takes_several_bounded_pages(model: RedisProjection) -> None:
    await store(model, *(state(n, metadata={"rare": "1"} if n == 7 else {}) for n in range(2_300)))

    assert await pages(model, SessionFilter(metadata=("rare", None)), 20) == [[], ["session_0007"]]


async def test_a_users_sessions_are_found_among_many_and_read_without_prompts(model: RedisProjection) -> None:
    bobs = {7, 8, 1_500}
    states = (state(n, user="Bob", user_id="b-1") if n in bobs else state(n) for n in range(2_300))
    await store(model, *states)

    found, after = await model.find(SessionFilter(user="Bob"), limit=2, after=None)
    rest, end = await model.find(SessionFilter(user="b-1"), limit=2, after=after)

    assert [each.session_id for each in (*found, *rest)] == ["session_1500", "session_0008", "session_0007"]
    assert end is None
    assert found[0].requested is not None
    assert found[0].requested.system_prompt == ""
    whole = await model.get("session_1500")
    assert whole is not None
    assert whole.requested is not None
    assert whole.requested.system_prompt


async def test_while_a_projector_of_an_older_version_writes_lists_come_from_what_it_writes(
    model: RedisProjection, redis: Any
) -> None:
    await store(model, state(1), state(2, user="Bob"))
    await redis.set(facts_key("session_0003"), state(3, user="Bob").model_dump_json())
    await redis.zadd(SESSIONS_BY_TIME, {"session_0003": int(SINCE.timestamp() * 1000) + 3_000})
    assert await pages(model, SessionFilter(user="Bob"), 5) == [["session_0002"]]

    await redis.set("projection:position:3", "99")

    assert await pages(model, SessionFilter(user="Bob"), 5) == [["session_0003", "session_0002"]]
    await redis.delete(POSITION)
    assert await pages(model, SessionFilter(user="Bob"), 5) == [["session_0003", "session_0002"]]


async def test_an_index_of_another_type_hides_nothing(model: RedisProjection, redis: Any) -> None:
    await store(model, state(1))
    await redis.set(user_key("Ann"), "x")

    assert await pages(model, SessionFilter(user="Ann"), 5) == [["session_0001"]]


async def test_a_session_is_taken_from_its_users_list_and_an_empty_list_is_no_key(
    model: RedisProjection, redis: Any
) -> None:
    await store(model, state(1), state(2))
    assert await redis.ttl(user_key("Ann")) > 0

    await model.delete_from_lists("session_0001", [("Ann", "")])
    assert await pages(model, SessionFilter(user="Ann"), 5) == [["session_0002"]]

    await model.delete_from_lists("session_0002", [("Ann", "")])
    assert not await redis.exists(user_key("Ann"))


async def test_beside_a_projector_of_an_older_version_no_summary_keeps_an_erased_name(
    model: RedisProjection, redis: Any
) -> None:
    """Such a projector erases the facts, and knows neither the summaries nor the users' lists."""
    hers = state(1, user="Zaphodine", user_id="account-7")
    await store(model, hers, state(2))
    assert 0 < await redis.ttl(summary_key("session_0001")) <= TTL_S + 24 * 3600

    await model.delete_from_lists("session_0001", [])  # a repeated erasure no longer finds a name
    assert not await redis.exists(summary_key("session_0001"))
    assert await redis.exists(user_key("Zaphodine")), "this one needs the name"

    erased = fold(hers, SessionErased(session_id="session_0001", time=SINCE))
    await redis.set(facts_key("session_0001"), erased.model_dump_json(exclude_none=True))
    await model.write_again()
    assert not await redis.exists(user_key("Zaphodine"))
    assert "Zaphodine" not in await redis.get(summary_key("session_0001"))
    assert await pages(model, SessionFilter(user="Ann"), 5) == [["session_0002"]]


async def test_the_time_of_a_request_is_compared_exactly(model: RedisProjection) -> None:
    half_ms = timedelta(microseconds=500)
    await store(model, *(state(n, at=SINCE + n * half_ms) for n in range(4)))

    found = await pages(model, SessionFilter(since=SINCE + half_ms, until=SINCE + 3 * half_ms), 20)

    assert found == [["session_0002", "session_0001"]]


async def test_index_entries_of_sessions_that_expired_are_removed(model: RedisProjection, redis: Any) -> None:
    await store(model, *(state(n) for n in range(5)))
    for session_id in ("session_0004", "session_0000"):
        await redis.delete(facts_key(session_id), summary_key(session_id))

    assert await pages(model, ANY, 20) == [["session_0003", "session_0002", "session_0001"]]
    assert await redis.zcard(SESSIONS_BY_TIME) == 3


A_CALL = [*a_running_call("session_a"), a_turn(0), a_turn(1), a_turn(2), *an_end("session_a"), a_bill()]


async def test_what_the_former_version_stored_gets_its_turns_and_its_bill(
    bus: Bus,
    model: RedisProjection,
    redis: Any,
) -> None:
    await publish(bus, a_request("session_a"), *A_CALL)
    former = await _as_the_former_version(bus)
    await redis.set(facts_key("session_a"), former)
    for position in ("projection:position", "projection:position:2"):
        await redis.set(position, "10")

    async with projecting(bus, model):
        await until_at(model, 10)

    found = await model.get("session_a")
    assert found is not None
    assert (found.turns, found.billed, found.status) == (2, A_CALL[-1], Status.ENDED)


async def test_what_a_former_version_writes_during_an_upgrade_is_written_again(
    bus: Bus,
    model: RedisProjection,
    redis: Any,
) -> None:
    await publish(bus, a_request("session_a"), *A_CALL)
    async with projecting(bus, model):
        await until_at(model, 10)
    await redis.set(facts_key("session_a"), await _as_the_former_version(bus))
    for position in ("projection:position", "projection:position:2"):
        await redis.set(position, "11")
    await publish(bus, a_request("session_b"))

    async with projecting(bus, model):
        await until_at(model, 11)

    found = await model.get("session_a")
    assert found is not None
    assert (found.turns, found.billed) == (2, A_CALL[-1])
    assert await redis.get(POSITION) == "11"


async def _as_the_former_version(bus: Bus) -> str:
    history = await bus.history("session_a")
    made = fold_all(stored.event for stored in history if isinstance(stored.event, SessionRequested))
    assert made is not None
    fields = {"session_id", "requested"}
    return made.model_dump_json(include=fields, exclude_none=True)


async def test_the_words_of_turns_stay_out_of_redis(bus: Bus, model: RedisProjection, redis: Any) -> None:
    await publish(bus, a_request("session_a"), *A_CALL)
    async with projecting(bus, model):
        await until_at(model, 10)

    assert "Xylophone" not in json.dumps(
        [await redis.get(facts_key("session_a")), await redis.hgetall("session:session_a")]
    )


async def test_a_call_can_be_looked_into(gateway: Gateway, api: httpx.AsyncClient, bus: Bus) -> None:
    telemetry.configure("test", None)
    with telemetry.span("POST", SpanKind.SERVER) as span:
        await publish(bus, a_request("session_a"))
    await publish(bus, *A_CALL)

    async def shown() -> bool:
        items = (await api.get("/v1/sessions?outcome=completed")).json()["items"]
        return bool(items) and items[0]["credits"] == 2

    await until(shown)
    found, detail, timeline = await asyncio.gather(
        api.get("/v1/sessions", params={"user": "Ann", "status": "ended", "from": "2026-01-01T00:00:00Z"}),
        api.get("/v1/sessions/session_a"),
        api.get("/v1/sessions/session_a/timeline"),
    )
    summary = found.json()["items"][0]
    trace_id = f"{span.get_span_context().trace_id:032x}"
    assert (summary["turns"], summary["outcome"], summary["traceId"]) == (2, Outcome.COMPLETED, trace_id)
    assert summary["lastTurn"] | {"at": ""} == {"n": 2, "epoch": 1, "at": "", "latencyMs": 1302, "overBudget": "llm"}
    assert summary.items() <= detail.json().items()
    assert [entry["kind"] for entry in timeline.json()["entries"]] == [
        *("requested", "assigned", "agent_ready", "started"),
        *("turn", "turn", "turn", "agent_stopped", "ended", "billed"),
    ]
    assert timeline.json()["traceId"] == trace_id
    assert (await api.get("/v1/nodes")).json() == {"items": []}
