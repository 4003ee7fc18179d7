"""The routes under `/v1`, with everything behind them in memory."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from contracts.api_v1 import NodePage, SessionDetail, SessionPage, Timeline
from contracts.console import ConsoleReply
from contracts.events import Event
from contracts.tools import RecordedTool
from gateway.domain.access import AccessRules, parse_keys
from gateway.domain.session_filter import Cursor
from gateway.routes import v1_examples
from tests.support.events import (
    NOW,
    SESSION,
    T0,
    assigned,
    at,
    billed,
    ended,
    queued,
    ready,
    requested,
    speaking,
    started,
    turn,
)
from tests.support.gateway.builders import job, node
from tests.support.gateway.world import KEY, TRACE, World

TOOL = RecordedTool(name="book_table", description="Books.", url="https://tools.example/book")
CALL: list[Event] = [
    requested(metadata={"campaign": "spring"}, tools=(TOOL,)),
    assigned(),
    ready(),
    started(),
    speaking(),
    turn(heard="Hi!"),
    turn(n=1, stage_ms={"llm": 900, "total": 1_400}, after=8),
    turn(n=2, stage_ms={"llm": 300, "total": 800}, after=12),
]
OVER: list[Event] = [ended(61_000), billed()]


async def test_a_list_shows_what_a_call_did_without_its_prompt(api: httpx.AsyncClient, world: World) -> None:
    world.show(*CALL, *OVER)

    found = (await api.get("/v1/sessions")).json()

    assert found == {
        "items": [
            {
                "sessionId": SESSION,
                "status": "ended",
                "userName": "Ann",
                "userId": "ann-1",
                "language": None,
                "voiceId": "Ashley",
                "metadata": {"campaign": "spring"},
                "nodeId": "n1",
                "epoch": 1,
                "createdAt": _wire(0),
                "startTime": _wire(0.5),
                "conversationStartTime": _wire(1),
                "endedAt": _wire(62),
                "outcome": "completed",
                "reason": "requested",
                "startMs": 1_100,
                "durationSeconds": 61,
                "minutes": 2,
                "credits": 2,
                "turns": 2,
                "lastTurn": {"n": 2, "epoch": 1, "at": _wire(12), "latencyMs": 800, "overBudget": None},
                "takeovers": 0,
                "erased": False,
                "traceId": TRACE,
            }
        ],
        "nextCursor": None,
    }


def _wire(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("user=Ann", 1),
        ("user=Bob", 0),
        ("status=queued&status=ended", 1),
        ("status=active", 0),
        ("outcome=completed", 1),
        ("outcome=failed&outcome=no_show", 0),
        (f"from={NOW.isoformat().replace('+', '%2B')}", 1),
        ("from=2026-11-25T00:00:00Z", 0),
        ("to=2026-11-24T13:00:00%2B01:00", 0),
        ("metadata=campaign", 1),
        ("metadata=campaign:autumn", 0),
    ],
)
async def test_a_list_can_be_filtered(api: httpx.AsyncClient, world: World, query: str, found: int) -> None:
    world.show(*CALL, *OVER)

    assert len((await api.get(f"/v1/sessions?{query}")).json()["items"]) == found


async def test_a_page_tells_where_the_next_one_begins(api: httpx.AsyncClient, world: World) -> None:
    for name in ("session_a", "session_b"):
        world.show(requested(name))

    first = (await api.get("/v1/sessions?limit=1")).json()
    await api.get("/v1/sessions", params={"cursor": first["nextCursor"]})

    assert world.read_model.asked_after == Cursor(T0, "session_a")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("to=1795521600", "to"),
        ("from=2026-11-24T12:00:00", "from"),
        ("cursor=session_1", "cursor"),
        ("limit=0", "limit"),
        ("status=over", "status.0"),
        ("outcome=good", "outcome.0"),
        ("metadata=", "metadata"),
    ],
)
async def test_an_invalid_condition_is_named(api: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await api.get(f"/v1/sessions?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_without_redis_the_list_says_so(api: httpx.AsyncClient, world: World) -> None:
    world.read_model.is_away = True

    assert (await api.get("/v1/sessions")).json()["code"] == "redis_unavailable"


async def test_a_running_call_lasts_by_the_clock_and_costs_nothing_yet(api: httpx.AsyncClient, world: World) -> None:
    world.show(requested(time=at(-30)), assigned(), ready(), started(after=-20.5))

    found = (await api.get(f"/v1/sessions/{SESSION}")).json()

    assert (found["status"], found["durationSeconds"], found["minutes"], found["credits"]) == ("active", 20, None, None)


@pytest.mark.parametrize("is_away", [True, False], ids=["without Redis", "before Redis has it"])
async def test_a_session_in_detail_comes_from_the_log_where_redis_has_it_not(
    api: httpx.AsyncClient, world: World, is_away: bool
) -> None:
    world.log.events, world.log.trace_id = [*CALL], TRACE
    world.read_model.is_away = is_away

    found = (await api.get(f"/v1/sessions/{SESSION}")).json()

    assert (found["systemPrompt"], found["openingLine"], found["tools"]) == ("Be kind.", "Hi Ann!", ["book_table"])
    assert (found["agentPid"], found["stageMs"], found["traceId"]) == (4711, {"join": 120, "heard": 180}, TRACE)


async def test_a_waiting_start_has_its_place(api: httpx.AsyncClient, world: World) -> None:
    world.show(requested(), queued(position=7))

    assert (await api.get(f"/v1/sessions/{SESSION}")).json()["queuePosition"] == 7


@pytest.mark.parametrize("path", ["", "/timeline"])
async def test_an_unknown_session_is_named(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"/v1/sessions/{SESSION}{path}")

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_session")


async def test_the_timeline_is_the_logs(api: httpx.AsyncClient, world: World) -> None:
    world.log.events, world.log.trace_id = [*CALL, *OVER], TRACE
    world.read_model.is_away = True

    found = (await api.get(f"/v1/sessions/{SESSION}/timeline")).json()

    assert (found["status"], found["outcome"], found["traceId"], found["turnBudgetMs"]) == (
        "ended",
        "completed",
        TRACE,
        1_200,
    )
    assert [entry["seq"] for entry in found["entries"]] == list(range(1, 11))
    assert [turn["overBudget"] for turn in found["turns"]] == ["llm", None]


async def test_the_nodes_are_listed_by_name(api: httpx.AsyncClient, world: World) -> None:
    running = (job(SESSION), job("session_b"))
    leaving = node("n1", draining=True).model_copy(update={"drain_since": NOW, "drain_until": NOW, "version": "1.2.3"})
    world.registry.node_states = [node("n2", jobs=running), leaving]

    found = (await api.get("/v1/nodes")).json()["items"]

    assert [(each["nodeId"], each["draining"], each["free"]) for each in found] == [("n1", True, 4), ("n2", False, 2)]
    assert found[1]["sessions"] == [SESSION, "session_b"]
    assert found[0]["version"] == "1.2.3"
    assert all(datetime.fromisoformat(found[0][name]) == NOW for name in ("drainSince", "drainUntil"))
    assert [found[1][name] for name in ("version", "drainSince", "drainUntil")] == [None, None, None]


PATHS = ("/v1/sessions", f"/v1/sessions/{SESSION}", f"/v1/sessions/{SESSION}/timeline")


@pytest.mark.parametrize("path", [*PATHS, "/v1/nodes"])
async def test_a_key_needs_the_routes_scope(client: Callable[..., httpx.AsyncClient], path: str) -> None:
    needed = "admin" if path == "/v1/nodes" else "sessions"
    other = "tokens" if path == "/v1/nodes" else "admin"
    async with client(AccessRules(parse_keys([f"{KEY}[{other}]"]))) as api:
        without = await api.get(path)
        refused = await api.get(path, headers={"X-API-Key": KEY})

    assert (without.status_code, refused.status_code) == (401, 403)
    assert needed in refused.json()["detail"]


async def test_only_admins_see_nodes_processes_and_files(
    client: Callable[..., httpx.AsyncClient], world: World
) -> None:
    world.log.events = [*CALL]
    world.show(*CALL)

    async with client(AccessRules(parse_keys([f"{KEY}[sessions]"]))) as api:
        shown = [await api.get(path, headers={"X-API-Key": KEY}) for path in PATHS]

    assert [answer.status_code for answer in shown] == [200] * 3
    assert not any('"n1"' in answer.text or "4711" in answer.text or ".1.log" in answer.text for answer in shown)


@pytest.mark.parametrize("kept", ["", "/voice"], ids=["the proxy strips it", "the proxy keeps it"])
async def test_the_routes_work_behind_a_prefix_and_for_a_listed_page(
    client: Callable[..., httpx.AsyncClient], world: World, kept: str
) -> None:
    world.show(*CALL)
    page = "https://app.example"
    async with client(AccessRules(parse_keys([KEY]), origins=[page]), root_path="/voice") as api:
        answer = await api.get(f"{kept}/v1/sessions", headers={"X-API-Key": KEY, "Origin": page})

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, page)


@pytest.mark.parametrize(
    ("example", "model"),
    [
        (v1_examples.PAGE, SessionPage),
        (v1_examples.DETAIL, SessionDetail),
        (v1_examples.TIMELINE, Timeline),
        (v1_examples.NODES, NodePage),
        (v1_examples.CONSOLE, ConsoleReply),
    ],
)
def test_an_example_of_the_document_is_an_answer(example: dict[str, Any], model: type[BaseModel]) -> None:
    made = model.model_validate(example)

    assert model.model_validate_json(made.model_dump_json(by_alias=True)) == made
    assert _keys(made.model_dump(mode="json", by_alias=True)) == _keys(example)


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _keys(inner) for key, inner in value.items()}
    return [_keys(inner) for inner in value] if isinstance(value, list) else None
