"""Keys and their scopes, before a body is read; who a gateway without keys answers; what the log says of both."""

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from chassis.health import Health
from gateway.domain.access import AccessRules, Scope, parse_keys
from gateway.routes.api import build_api
from gateway.routes.audit import Sampler
from gateway.routes.guard import PUBLIC
from tests.support.asgi import scope
from tests.support.events import SESSION, requested
from tests.support.gateway.world import World
from tests.support.logging_setup import configured

FULL, PLAIN = "f" * 32, "p" * 32
START = "/orchestrator/session/start"
DRAIN = "/nodes/n1/drain"
Client = Callable[..., httpx.AsyncClient]


def keyed(*entries: str) -> AccessRules:
    return AccessRules(parse_keys(entries))


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = build_api(Health("gateway"), body_limit=1, deadline_s=1).openapi()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path.format(session_id=SESSION, user="ann", nodeId="n1"), operation


PROTECTED = [(method, path, operation) for method, path, operation in operations() if path not in PUBLIC]


@pytest.mark.parametrize(("method", "path", "operation"), PROTECTED, ids=lambda part: str(part)[:40])
async def test_every_route_asks_for_the_scope_that_the_document_names(
    client: Client, method: str, path: str, operation: dict[str, Any]
) -> None:
    [scope] = operation["security"][0]["bearer"]
    others = "+".join(other for other in Scope if other != scope)

    async with client(keyed(f"{FULL}[{scope}]", f"{PLAIN}[{others}]")) as api:
        # Streams end at the deadline; the other routes have no such parameter.
        allowed = await api.request(method, path, headers={"X-API-Key": FULL}, params={"deadlineMs": 100})
        refused = await api.request(method, path, headers={"X-API-Key": PLAIN})

    assert allowed.status_code not in (401, 403)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert scope in refused.json()["detail"]
    assert f"Scope: `{scope}`" in operation["description"]


@pytest.mark.parametrize(
    ("entry", "status"), [("[metrics]", 200), ("[admin]", 200), ("", 200), ("[sessions+tokens+billing:read]", 403)]
)
async def test_metrics_need_a_key_where_that_is_set(client: Client, entry: str, status: int) -> None:
    rules = dataclasses.replace(keyed(f"{FULL}{entry}"), metrics_need_key=True)

    async with client(rules) as api:
        without = await api.get("/metrics")
        answer = await api.get("/metrics", headers={"Authorization": f"Bearer {FULL}"})
        health = await api.get("/health")

    assert (without.status_code, without.json()["code"], health.status_code) == (401, "unauthorized", 200)
    assert answer.status_code == status
    assert status == 200 or "metrics or admin" in answer.json()["detail"]


async def test_metrics_of_a_gateway_without_keys_stay_open_on_this_machine(client: Client) -> None:
    async with client(AccessRules(metrics_need_key=True)) as api:
        assert (await api.get("/metrics")).status_code == 200


async def test_a_drain_needs_admin(client: Client, world: World) -> None:
    async with client(keyed(f"{PLAIN}[sessions+tokens+billing:read]")) as api:
        answer = await api.post(DRAIN, headers={"X-API-Key": PLAIN})

    assert answer.status_code == 403
    assert world.registry.drained == []


async def test_processes_and_files_are_shown_to_operators_alone(client: Client, world: World) -> None:
    world.log.events.append(requested())
    async with client(keyed(FULL, f"{PLAIN}[sessions]")) as api:
        everything = (await api.get(f"/sessions/{SESSION}", headers={"X-API-Key": FULL})).json()
        limited = (await api.get(f"/sessions/{SESSION}", headers={"X-API-Key": PLAIN})).json()

    assert everything.keys() == limited.keys()
    assert (limited["agentPid"], limited["logFile"], limited["nodeId"]) == (None, None, None)


# --- key before body --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "code"), [(START, "unauthorized"), ("/livekit/webhook", "bad_signature")])
async def test_a_strangers_body_is_not_read(world: World, path: str, code: str) -> None:
    async def no_body() -> dict[str, Any]:
        raise AssertionError("the body was asked for")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async with asyncio.timeout(2):
        await world.app(keyed(FULL))(scope(path, method="POST", headers={"content-length": "60000"}), no_body, send)

    assert sent[0]["status"] == 401
    assert json.loads(sent[1]["body"])["code"] == code


async def test_a_webhook_has_a_bound_of_its_own(client: Client, world: World) -> None:
    world.body_limit = 640 * 1024
    async with client(root_path="/voice") as api:
        for size, status in ((256 * 1024, 401), (256 * 1024 + 1, 413)):
            body = b"x" * size
            for path in ("/livekit/webhook", "/voice/livekit/webhook"):
                answer = await api.post(path, content=body, headers={"Authorization": "forged"})
                assert answer.status_code == status


async def test_a_websocket_is_refused_without_a_traceback(world: World) -> None:
    sent: list[Any] = []

    async def connect() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "raw_path": b"/", "query_string": b"", "headers": [], "root_path": ""}
    await world.app(keyed(FULL))(scope, connect, send)

    assert [message["type"] for message in sent] == ["websocket.close"]


# --- a gateway without keys -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.9.9.9", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]"])
async def test_an_open_gateway_answers_its_own_machine(client: Client, host: str) -> None:
    async with client() as api:
        assert (await api.get("/stats", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:3000"},
        {"X-Forwarded-For": "192.0.2.7"},
        {"X-Forwarded-Host": "voice.example"},
        {"Forwarded": "for=192.0.2.7"},
    ],
)
async def test_an_open_gateway_refuses_other_machines_and_other_pages(
    client: Client, world: World, headers: dict[str, str]
) -> None:
    async with client() as api:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json"):
            answer = await api.post(DRAIN, headers={**headers, "Content-Type": content_type})
            assert (answer.status_code, answer.json()["code"]) == (403, "foreign_request")
            assert "evil.example" not in answer.text
        assert (await api.get("/sessions", headers=headers)).status_code == 403
        assert (await api.get("/health", headers=headers)).status_code == 200
    assert world.registry.drained == []


async def test_an_open_gateway_tells_a_rebound_page_no_reasons(client: Client, world: World) -> None:
    async def away() -> str | None:
        return "NATS at nats://10.0.0.5:4222 does not answer"

    world.health.add("nats", away)
    async with client() as api:
        own = await api.get("/ready")
        for headers in ({"Host": "rebound.example"}, {"Origin": "https://evil.example"}, {"X-Forwarded-For": "::1"}):
            foreign = await api.get("/ready", headers=headers)
            assert foreign.status_code == 503
            assert "10.0.0.5" not in foreign.text
    assert "10.0.0.5" in own.text


async def test_an_open_gateway_answers_hosts_and_pages_that_are_named(client: Client) -> None:
    rules = AccessRules(hosts=["Voice.example"], origins=["https://app.example"])
    async with client(rules) as api:
        for headers in (
            {"Host": "voice.example"},
            {"Host": "voice.example:443", "Origin": "https://app.example"},
            {"Origin": "http://127.0.0.1:8000"},  # its own page
        ):
            assert (await api.get("/stats", headers=headers)).status_code == 200


async def test_with_keys_any_host_is_answered_and_none_is_repeated(client: Client) -> None:
    forged = {"Host": "evil.example", "X-API-Key": FULL, "X-Forwarded-Host": "evil.example"}
    async with client(keyed(FULL)) as api:
        for path in ("/stats", f"{START}/", "/stats/", "/docs", "/docs/", "/openapi.json", "/nowhere"):
            answer = await api.get(path, headers=forged, follow_redirects=False)
            assert answer.status_code in (200, 404)
            assert "evil.example" not in answer.text
            assert "evil.example" not in str(answer.headers)


# --- the log ----------------------------------------------------------------------------------------------------------


async def test_who_changed_what_is_in_the_log(client: Client) -> None:
    async with client(keyed(FULL)) as api:
        with capture_logs() as lines:
            await api.post(DRAIN, headers={"X-API-Key": FULL})
            await api.get("/stats", headers={"X-API-Key": FULL})

    [line] = [line for line in lines if line["event"] == "api.called"]
    assert (line["method"], line["path"], line["status"]) == ("POST", DRAIN, 404)


async def test_the_lines_of_a_request_carry_key_and_address(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    with configured("gateway"):
        async with client(keyed(FULL)) as api:
            await api.post(DRAIN, headers={"X-API-Key": FULL})

    printed = capsys.readouterr().err
    assert f'"key_id": "{hashlib.sha256(FULL.encode()).hexdigest()[:8]}"' in printed
    assert '"client": "127.0.0.1"' in printed
    assert FULL not in printed


async def test_a_missing_scope_is_logged_with_the_key(
    client: Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.routes.audit._sampler", Sampler())
    with configured("gateway"):
        async with client(keyed(f"{PLAIN}[sessions]")) as api:
            assert (await api.post(DRAIN, headers={"X-API-Key": PLAIN})).status_code == 403

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [refused] = [line for line in lines if line["event"] == "auth.refused"]
    assert (refused["reason"], refused["key_id"]) == ("scope", hashlib.sha256(PLAIN.encode()).hexdigest()[:8])


async def test_refused_keys_are_logged_a_few_a_second_and_never_shown(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.routes.audit._sampler", Sampler(a_second=3, clock=lambda: 0.0))
    async with client(keyed(FULL)) as api:
        with capture_logs() as lines:
            for _ in range(50):
                await api.get("/stats", headers={"X-API-Key": PLAIN})

    refused = [line for line in lines if line["event"] == "auth.refused"]
    assert len(refused) == 3
    assert {line["key_id"] for line in refused} == {hashlib.sha256(PLAIN.encode()).hexdigest()[:8]}
    assert {line["client"] for line in refused} == {"127.0.0.1"}
    assert all(PLAIN not in str(line) for line in lines)


def test_a_sampler_counts_what_it_leaves_out() -> None:
    now = [0.0]
    sampler = Sampler(a_second=2, clock=lambda: now[0])

    assert [sampler.take() for _ in range(5)] == [0, 0, None, None, None]
    now[0] = 1.0
    assert sampler.take() == 3
