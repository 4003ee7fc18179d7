"""The other routes, with everything behind them in memory."""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import telemetry
from contracts.events import EndRequested
from contracts.registry import Slot
from gateway.domain.access import AccessRules, parse_keys
from tests.support.events import NOW, SESSION, assigned, ended, queued, ready, requested, started, stopped
from tests.support.gateway.builders import job, node
from tests.support.gateway.world import API_KEY, API_SECRET, KEY, World

END = "/orchestrator/session/end"


async def test_an_end_asks_for_the_end_and_answers_with_it(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), assigned(), ready(), started(), stopped()]
    world.log.on_publish[EndRequested] = ended(59_999)
    world.show(requested(), ended())

    answer = await api.post(END, json={"sessionId": SESSION})

    assert answer.json() == {
        "success": True,
        "message": f"Session {SESSION} ended and cleaned up",
        "details": {
            "session_id": SESSION,
            "celery_task_revoked": True,
            "process_killed": True,
            "redis_cleaned": True,
            "durationSeconds": 59,
            "durationMinutes": 1,
            "outcome": "completed",
            "reason": "requested",
            "ended_at": "2026-11-24T12:01:02.123456Z",
            "errors": [],
        },
    }


async def test_ending_twice_gives_the_same_answer_and_asks_once(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), assigned(), stopped()]
    world.log.on_publish[EndRequested] = ended()
    world.show(requested(), ended())

    answers = [await api.post(path, json={"sessionId": SESSION}) for path in (END, "/api/session/end")]

    assert answers[0].json() == answers[1].json()
    assert len([e for e in world.log.events if isinstance(e, EndRequested)]) == 1


async def test_an_unknown_session_cannot_be_ended(api: httpx.AsyncClient) -> None:
    answer = await api.post(END, json={"sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_session")


async def test_while_a_lost_log_is_restored_an_unknown_session_may_still_be_ended(
    api: httpx.AsyncClient, world: World
) -> None:
    world.log.may_lack_sessions = True

    answer = await api.post(END, json={"sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (504, "end_pending", True)


async def test_an_end_that_is_not_confirmed_is_pending_never_a_guess(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested()]

    answer = await api.post(END, json={"sessionId": SESSION})

    assert (answer.status_code, answer.json()["code"], answer.json()["retryable"]) == (504, "end_pending", True)
    assert "Retry-After" in answer.headers


async def test_without_redis_an_end_succeeds_and_says_so(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), assigned(), stopped(), ended()]
    world.read_model.is_away = True

    details = (await api.post(END, json={"sessionId": SESSION})).json()["details"]

    assert (details["redis_cleaned"], details["errors"]) == (False, ["Redis does not answer."])


async def test_a_process_that_nobody_saw_end_is_not_claimed_to_be_gone(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), assigned(), ended()]
    world.show()

    details = (await api.post(END, json={"sessionId": SESSION})).json()["details"]

    assert details["process_killed"] is False
    assert len(details["errors"]) == 1


async def test_a_token_is_issued_before_its_session_exists(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/token", json={"sessionId": SESSION, "userId": "ann-1"})

    claims = jwt.decode(
        answer.json()["token"], API_SECRET, algorithms=["HS256"], options={"verify_exp": False, "verify_nbf": False}
    )
    assert answer.json()["url"] == "wss://livekit.example"
    assert json.loads(claims["metadata"]) == {"sessionId": SESSION, "userId": "ann-1"}
    assert claims["sub"] == f"caller:{SESSION}", "never what the body says"


async def test_an_ended_session_gets_no_token(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), ended()]

    answer = await api.post("/api/token", json={"sessionId": SESSION, "userId": "ann-1"})

    assert (answer.status_code, answer.json()["code"]) == (409, "session_ended")


@pytest.mark.parametrize("path", ["/api/token", END])
async def test_an_id_with_odd_characters_is_named(api: httpx.AsyncClient, path: str) -> None:
    body = {"sessionId": "session_a b"} | ({"userId": "ann"} if path == "/api/token" else {})

    answer = await api.post(path, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_session_id")
    assert answer.json()["errors"][0]["field"] == "sessionId"


async def test_a_missing_id_is_a_missing_field(api: httpx.AsyncClient) -> None:
    assert (await api.post(END, json={})).json()["code"] == "invalid_request"


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_session_that_redis_lacks_is_read_from_the_log(
    api: httpx.AsyncClient, world: World, is_away: bool
) -> None:
    world.log.events = [requested(), assigned(), ready(), started()]
    world.read_model.is_away = is_away

    answer = await api.get(f"/sessions/{SESSION}")

    assert (answer.status_code, answer.json()["status"], answer.json()["agentPid"]) == (200, "active", 4711)


async def test_a_session_that_neither_has_is_unknown(api: httpx.AsyncClient) -> None:
    assert (await api.get(f"/sessions/{SESSION}")).json()["code"] == "unknown_session"


async def test_with_redis_and_nats_away_a_session_is_not_called_unknown(api: httpx.AsyncClient, world: World) -> None:
    world.log.is_away = world.read_model.is_away = True

    assert (await api.get(f"/sessions/{SESSION}")).json()["code"] == "bus_unavailable"


async def test_sessions_are_listed_by_status(api: httpx.AsyncClient, world: World) -> None:
    world.log.events = [requested(), queued()]
    world.show()

    found = (await api.get("/sessions", params={"status": "queued"})).json()
    none = (await api.get("/sessions", params={"status": ["ended", "active"]})).json()

    assert [item["sessionId"] for item in found["items"]] == [SESSION]
    assert none == {"items": [], "nextCursor": None}


async def test_an_unknown_status_is_refused_by_name(api: httpx.AsyncClient) -> None:
    answer = await api.get("/sessions", params={"status": "asleep"})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "status.0")


async def test_stats_count_sessions_and_workers(api: httpx.AsyncClient, world: World) -> None:
    world.registry.node_states = [node("n2"), node("n1", warm=3)]
    world.log.events = [requested(), assigned(), ready()]
    world.show()

    stats = (await api.get("/stats")).json()

    assert (stats["active"], stats["starting"], stats["queued"], stats["maxBots"]) == (1, 0, 0, 50)
    assert [(p["nodeId"], p["warm"], p["free"]) for p in stats["pool"]] == [("n1", 3, 4), ("n2", 1, 4)]
    assert (stats["nodes"], stats["processes"]) == (2, 4)


async def test_stats_without_redis_count_from_nats(api: httpx.AsyncClient, world: World) -> None:
    world.read_model.is_away = True
    world.registry.taken = [Slot(session_id=SESSION, taken_at=NOW)]
    world.log.events = [queued("session_b")]

    stats = (await api.get("/stats")).json()

    assert (stats["active"], stats["starting"], stats["queued"]) == (0, 1, 1)
    assert (stats["redis"]["ok"], stats["nats"]["ok"]) == (False, True)


async def test_stats_answer_in_time_though_nothing_answers(api: httpx.AsyncClient, world: World) -> None:
    async def never() -> Any:
        await asyncio.Event().wait()

    world.read_model.count = world.read_model.check = never
    world.registry.nodes = world.registry.slots = world.registry.check = world.rooms.check = never
    world.log.events = [queued("session_b")]

    async with asyncio.timeout(1.5):
        stats = (await api.get("/stats")).json()

    assert stats["queued"] == 1, "counted from the log while Redis was being waited for"
    assert (stats["redis"]["ok"], stats["nats"]["ok"], stats["livekit"]["ok"]) == (False, False, False)


async def test_stats_answer_though_everything_is_away(api: httpx.AsyncClient, world: World) -> None:
    world.read_model.is_away = world.registry.is_away = world.log.is_away = True

    answer = await api.get("/stats")

    assert answer.status_code == 200
    assert (answer.json()["redis"]["ok"], answer.json()["nats"]["ok"], answer.json()["nodes"]) == (False, False, 0)


def signed(body: bytes, *, key: str = API_KEY, secret: str = API_SECRET, **claims: Any) -> dict[str, str]:
    now = int(time.time())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token = jwt.encode({"iss": key, "nbf": now, "exp": now + 300, "sha256": digest} | claims, secret, algorithm="HS256")
    return {"Authorization": token, "Content-Type": "application/webhook+json"}


WEBHOOK = json.dumps(
    {"id": "EV_1", "event": "room_started", "createdAt": "1795521600", "room": {"name": SESSION, "turnPassword": "pw"}},
    indent=1,
).encode()


async def test_a_webhook_is_published_once_however_often_it_comes(api: httpx.AsyncClient, world: World) -> None:
    for _ in range(3):
        answer = await api.post("/livekit/webhook", content=WEBHOOK, headers=signed(WEBHOOK))
        assert answer.status_code == 200

    assert [e.event for e in world.log.rooms.values()] == ["room_started"]


async def test_an_older_key_still_holds_while_keys_are_rotated(api: httpx.AsyncClient, world: World) -> None:
    headers = signed(WEBHOOK, key="APIold", secret=API_SECRET[::-1])

    assert (await api.post("/livekit/webhook", content=WEBHOOK, headers=headers)).status_code == 200
    assert len(world.log.rooms) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/webhook+json"},
        signed(WEBHOOK) | {"Authorization": "Bearer " + signed(WEBHOOK)["Authorization"]},
        signed(WEBHOOK) | {"Authorization": "nonsense"},
        signed(WEBHOOK, key="APIother"),
        signed(WEBHOOK, secret="another-secret-of-at-least-32-bytes!"),
        signed(WEBHOOK, exp=int(time.time()) - 120),
        signed(WEBHOOK, exp=None),
        signed(WEBHOOK, sha256=None),
        signed(WEBHOOK, sha256="%%"),
        signed(WEBHOOK + b" "),
    ],
    ids=["none", "bearer", "nonsense", "key", "secret", "expired", "endless", "no hash", "bad hash", "other body"],
)
async def test_a_bad_signature_is_refused(api: httpx.AsyncClient, world: World, headers: dict[str, str]) -> None:
    answer = await api.post("/livekit/webhook", content=WEBHOOK, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
    assert world.log.rooms == {}


async def test_an_unsigned_token_is_refused(api: httpx.AsyncClient) -> None:
    digest = base64.b64encode(hashlib.sha256(WEBHOOK).digest()).decode()
    claims = {"iss": API_KEY, "exp": int(time.time()) + 300, "sha256": digest}
    headers = signed(WEBHOOK) | {"Authorization": jwt.encode(claims, "", algorithm="none")}

    assert (await api.post("/livekit/webhook", content=WEBHOOK, headers=headers)).json()["code"] == "bad_signature"


async def test_a_webhook_of_another_type_is_refused(api: httpx.AsyncClient) -> None:
    headers = signed(WEBHOOK) | {"Content-Type": "application/json"}

    problem = (await api.post("/livekit/webhook", content=WEBHOOK, headers=headers)).json()
    assert problem["code"] == "malformed_body"
    assert "Content-Type: application/webhook+json" in problem["fix"]


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (b'"room_started"', b"[" * 10_000 + b"]" * 10_000),
        (b'"EV_1"', b'"\\ud800"'),
        (b'"EV_1"', b'"EV\\r\\nNats-Rollup: all"'),
        (b'"1795521600"', b'"' + b"9" * 5_000 + b'"'),
        (b'"1795521600"', b"1e999"),
        (b'"pw"', b'"pw", "sid": {"a": NaN}'),
        (b'"pw"', b'"pw", "sid": "\\udfff"'),
    ],
)
async def test_a_signed_webhook_with_odd_content_is_malformed(
    api: httpx.AsyncClient, world: World, part: bytes, other: bytes
) -> None:
    body = WEBHOOK.replace(part, other)

    answer = await api.post("/livekit/webhook", content=body, headers=signed(body))

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")
    assert world.log.rooms == {}


async def test_a_room_that_is_not_ours_is_taken_and_ignored(api: httpx.AsyncClient, world: World) -> None:
    body = WEBHOOK.replace(SESSION.encode(), b"lobby")

    assert (await api.post("/livekit/webhook", content=body, headers=signed(body))).status_code == 200
    assert world.log.rooms == {}


async def test_a_fault_of_ours_is_never_a_4xx_to_livekit(api: httpx.AsyncClient, world: World) -> None:
    world.log.is_away = True

    assert (await api.post("/livekit/webhook", content=WEBHOOK, headers=signed(WEBHOOK))).status_code == 503


async def test_billings_refusals_come_through(api: httpx.AsyncClient) -> None:
    answer = await api.get(f"/billing/sessions/{SESSION}")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_billed_yet")


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}]
)
async def test_a_known_key_comes_in(client: Callable[..., httpx.AsyncClient], headers: dict[str, str]) -> None:
    async with client(AccessRules(parse_keys([KEY]))) as api:
        assert (await api.get("/stats", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"X-API-Key": ""}, {"Authorization": f"Basic {KEY}"}]
)
async def test_anybody_else_does_not(client: Callable[..., httpx.AsyncClient], headers: dict[str, str]) -> None:
    async with client(AccessRules(parse_keys([KEY]))) as api:
        for path in ("/stats", f"/sessions/{SESSION}", "/nowhere", "/livekit/webhook/", "/health/x"):
            answer = await api.get(path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert KEY not in answer.text


async def test_health_and_webhooks_need_no_key(client: Callable[..., httpx.AsyncClient]) -> None:
    async with client(AccessRules(parse_keys([KEY]))) as api:
        assert (await api.get("/health")).json() == {"status": "ok", "service": "gateway", "version": "0.2.0"}
        assert (await api.get("/metrics")).status_code == 200
        assert (await api.post("/livekit/webhook", content=WEBHOOK, headers=signed(WEBHOOK))).status_code == 200


async def test_a_request_is_one_server_span_in_the_callers_trace_and_a_probe_is_none(api: httpx.AsyncClient) -> None:
    exporter = InMemorySpanExporter()
    telemetry.configure("gateway", None, exporter=exporter)
    caller = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}

    for path in (f"/sessions/{SESSION}", "/health", "/ready"):
        await api.get(path, headers=caller)

    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()
    [span] = exporter.get_finished_spans()
    assert (span.name, span.kind) == ("GET /sessions/{session_id}", SpanKind.SERVER)
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == "a" * 32


@pytest.mark.parametrize(("body", "limit_s"), [(None, 600), ({}, 600), ({"limitS": 30}, 30)])
async def test_a_drain_is_passed_on_to_the_node(
    api: httpx.AsyncClient, world: World, body: object, limit_s: float
) -> None:
    world.registry.node_states = [node("n1", jobs=(job(SESSION),))]

    answer = await api.post("/nodes/n1/drain", json=body) if body is not None else await api.post("/nodes/n1/drain")

    assert (answer.status_code, answer.json()) == (200, {"nodeId": "n1", "jobs": 1})
    assert world.registry.drained == [("n1", limit_s)]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/nodes/n9/drain", {}, 404, "unknown_node"),
        ("/nodes/n 1/drain", {}, 422, "invalid_request"),
        ("/nodes/n1/drain", {"limitS": 0}, 422, "invalid_request"),
        ("/nodes/n1/drain", {"limit": 1}, 422, "invalid_request"),
    ],
)
async def test_a_drain_that_cannot_be_is_a_problem(
    api: httpx.AsyncClient, world: World, path: str, body: object, status: int, code: str
) -> None:
    world.registry.node_states = [node("n1")]
    answer = await api.post(path, json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert world.registry.drained == []


async def test_a_drain_needs_a_key_where_keys_are_configured(client: Callable[..., httpx.AsyncClient]) -> None:
    async with client(AccessRules(parse_keys([KEY]))) as api:
        assert (await api.post("/nodes/n1/drain")).status_code == 401


async def test_what_is_not_there_is_a_problem_too(api: httpx.AsyncClient) -> None:
    nowhere, method = await api.get("/nowhere"), await api.get(END)

    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "not_found")
    assert (method.status_code, method.json()["code"]) == (405, "method_not_allowed")
