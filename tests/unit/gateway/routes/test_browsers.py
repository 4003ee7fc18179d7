"""What browsers need and must not do: CORS, security headers, the page /docs, a proxy's prefix, redirects."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from billing.routes.bills import Bills
from chassis import problem
from chassis.health import Health
from gateway.domain.access import AccessRules, parse_keys
from sandbox.app import create_app
from sandbox.settings import Settings as SandboxSettings
from tests.support.gateway.world import KEY, World

PAGE = "https://app.example"
START = "/orchestrator/session/start"
Client = Callable[..., httpx.AsyncClient]
RULES = AccessRules(parse_keys([KEY]), origins=[PAGE])
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


# --- CORS -------------------------------------------------------------------------------------------------------------


async def test_a_preflight_of_a_listed_page_needs_no_key(client: Client) -> None:
    async with client(RULES) as api:
        answer = await api.options(START, headers={"Origin": PAGE, **ASKS})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "authorization" in answer.headers["access-control-allow-headers"].lower()
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("rules", [RULES, AccessRules(parse_keys([KEY]))])
async def test_a_preflight_of_another_page_is_told_why(client: Client, rules: AccessRules) -> None:
    async with client(rules) as api:
        answer = await api.options(START, headers={"Origin": "https://evil.example", **ASKS})

    assert (answer.status_code, answer.json()["code"]) == (403, "origin_not_allowed")
    assert "CORS_ALLOWED_ORIGINS" in answer.json()["fix"]
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("GET", "/stats", {}, None, 401),
        ("GET", "/nowhere", {"X-API-Key": KEY}, None, 404),
        ("POST", START, {"X-API-Key": KEY}, {"userName": ""}, 422),
        ("POST", START, {"X-API-Key": KEY}, {"userName": "x" * 70_000}, 413),
        ("POST", START, {"X-API-Key": KEY}, {"userName": "Ann"}, 200),
    ],
)
async def test_a_listed_page_can_read_every_answer(
    client: Client, method: str, path: str, headers: dict[str, str], body: Any, status: int
) -> None:
    async with client(RULES) as api:
        answer = await api.request(method, path, headers={"Origin": PAGE, **headers}, json=body)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == PAGE
    shown = answer.headers["access-control-expose-headers"].lower()
    assert all(name in shown for name in ("idempotent-replayed", "retry-after", "x-request-id"))


# --- headers ----------------------------------------------------------------------------------------------------------


async def test_every_answer_carries_the_security_headers(client: Client) -> None:
    async with client(RULES) as api:
        answers = [
            await api.get("/health"),
            await api.get("/metrics"),
            await api.get("/stats"),
            await api.get("/nowhere", headers={"X-API-Key": KEY}),
            await api.get("/docs"),
            await api.options(START, headers={"Origin": PAGE, **ASKS}),
            await api.options(START, headers={"Origin": "https://evil.example", **ASKS}),
            await api.post(START, headers={"X-API-Key": KEY}, json={"userName": "Ann"}),
            await api.post("/api/token", headers={"X-API-Key": KEY}, json={"sessionId": "session_a", "userId": "Ann"}),
        ]

    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff", answer.url
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    assert "token" in answers[-1].json()


# --- the page ---------------------------------------------------------------------------------------------------------


async def test_the_docs_load_nothing_from_other_hosts(client: Client) -> None:
    async with client(RULES) as api:
        page = await api.get("/docs")
        addresses = re.findall(r'(?:src|href|data-url)="([^"]+)"', page.text)
        files = [await api.get(address) for address in addresses]

    assert len(addresses) == 4
    assert all(address.startswith("/") and not address.startswith("//") for address in addresses)
    assert [file.status_code for file in files] == [200] * 4
    assert "<script>" not in page.text, "the policy allows no inline script"
    policy = page.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "http" not in policy


# --- a proxy's prefix -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["", "/voice"], ids=["the proxy strips it", "the proxy keeps it"])
async def test_a_prefix_works_whether_the_proxy_keeps_it_or_not(client: Client, kept: str) -> None:
    async with client(RULES, root_path="/voice") as api:
        page = await api.get(f"{kept}/docs")
        document = await api.get(f"{kept}/openapi.json")
        started = await api.post(f"{kept}{START}", headers={"X-API-Key": KEY}, json={"userName": "Ann"})
        refused = await api.post(f"{kept}{START}", json={"userName": "Ann"})
        healthy = await api.get(f"{kept}/health")

    assert 'data-url="/voice/openapi.json"' in page.text
    assert 'src="/voice/docs/swagger-ui-bundle.js"' in page.text
    assert document.json()["servers"] == [{"url": "/voice"}]
    assert (started.status_code, refused.status_code, healthy.status_code) == (200, 401, 200)


@pytest.mark.parametrize("path", ["/api/token", "/api/api/token"])
async def test_a_prefix_that_begins_a_route_too_is_no_trap(client: Client, path: str) -> None:
    async with client(RULES, root_path="/api") as api:
        answer = await api.post(path, headers={"X-API-Key": KEY}, json={"sessionId": "session_a", "userId": "Ann"})

    assert answer.status_code == 200


async def test_a_prefix_opens_no_way_around_the_key(client: Client) -> None:
    async with client(RULES, root_path="/health") as api:
        for path in ("/health/stats", "/stats", "/health/health/stats", "/health/sessions"):
            assert (await api.get(path)).status_code in (401, 404)


# --- redirects --------------------------------------------------------------------------------------------------------


def every_app() -> list[Any]:
    billing = Starlette(routes=Bills(None, None).routes())  # type: ignore[arg-type]
    problem.install(billing)
    return [World().app(), billing, Health("scheduler").app(), create_app(SandboxSettings())]


@pytest.mark.parametrize("app", every_app(), ids=["gateway", "billing", "health", "sandbox"])
async def test_no_app_redirects_a_path_with_a_slash_too_many(app: Any) -> None:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as api:
        for path in ("/health/", "/stats/", f"{START}/", "/billing/sessions/", "/docs/", "/v3/ws/"):
            for method in ("GET", "POST"):
                answer = await api.request(method, path, follow_redirects=False)
                assert answer.status_code not in range(300, 400), path
                assert "location" not in answer.headers
