"""Who may come in, tried on a real gateway: a second visitor, a race for a session id, web pages, proxies, keys."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from chassis.nats import Bus
from contracts.streams import SEATS
from gateway.adapters.nats_seats import NatsSeats
from tests.integration.gateway.one_stack import addresses
from tests.support.servers import Gateway, LiveKitServer, NatsServer, RedisServer

START, TOKEN = "/orchestrator/session/start", "/api/token"
FULL, PAGES = "f" * 32, "p" * 32


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory, livekit_server: LiveKitServer) -> Iterator[str]:
    """The address of a gateway without keys."""
    folder = tmp_path_factory.mktemp("open")
    with (
        NatsServer(folder / "nats") as nats,
        RedisServer(folder / "redis") as redis,
        Gateway(folder / "gateway", addresses(nats, redis, livekit_server)) as gateway,
    ):
        yield gateway.url


@pytest.fixture
async def api(open_gateway: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=open_gateway, timeout=20, trust_env=False) as client:
        yield client


async def test_one_user_wins_a_session_id_however_many_ask_at_once(bus: Bus) -> None:
    gateways = [NatsSeats(bus, deadline_s=2) for _ in range(2)]
    users = [f"user-{n}" for n in range(20)]

    holders = await asyncio.gather(*(gateways[n % 2].take("session_a", user) for n, user in enumerate(users)))

    assert len(set(holders)) == 1
    assert holders[0] in users
    assert await gateways[0].take("session_a", "late") == holders[0]
    assert await gateways[0].take("session_b", "late") == "late"

    await bus.bucket(SEATS).put("session_c", b"\xff{")
    assert await gateways[0].take("session_c", "ann") == "ann", "an unreadable seat gives way"
    assert await gateways[1].take("session_c", "bob") == "ann"


async def test_a_second_visitor_takes_over_no_call(api: httpx.AsyncClient) -> None:
    started = (await api.post(START, json={"userName": "Ann"})).json()
    session_id = started["sessionId"]

    own = await api.post(TOKEN, json={"sessionId": session_id, "userId": "Ann"})
    other = await api.post(TOKEN, json={"sessionId": session_id, "userId": "Mallory"})
    assert (own.status_code, other.status_code) == (200, 403)
    assert other.json()["code"] == "not_session_owner"

    first = await api.post(TOKEN, json={"sessionId": "session_room42", "userId": "Mallory"})
    late = await api.post(START, json={"userName": "Ann", "sessionId": "session_room42"})
    assert (first.status_code, late.status_code, late.json()["code"]) == (200, 409, "session_id_taken")


async def test_an_open_gateway_is_closed_to_pages_and_proxies(api: httpx.AsyncClient) -> None:
    for headers in (
        {"Host": "rebound.example"},
        {"Origin": "https://evil.example"},
        {"X-Forwarded-For": "192.0.2.7"},
    ):
        drain = await api.post("/nodes/n1/drain", content=b"a=b", headers={**headers, "Content-Type": "text/plain"})
        assert (drain.status_code, drain.json()["code"]) == (403, "foreign_request")
    assert (await api.post("/nodes/n1/drain")).status_code == 404, "there is no such node"
    assert (await api.post(f"{START}/", json={"userName": "Ann"}, headers={"Host": "localhost"})).status_code == 404


async def test_keys_scopes_and_pages_behind_a_proxy(
    tmp_path: Path, nats_server: NatsServer, servers: dict[str, str]
) -> None:
    environment = {
        **servers,
        "GREENROOM_API_KEYS": f"{FULL},{PAGES}[sessions]",
        "CORS_ALLOWED_ORIGINS": "https://app.example",
        "ROOT_PATH": "/voice",
    }
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    with Gateway(tmp_path / "gateway", environment) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as api:
            page = await api.get("/docs", headers={"Host": "evil.example"})
            preflight = await api.options(f"/voice{START}", headers=asked)
            started = await api.post(f"/voice{START}", json={"userName": "Ann"}, headers={"X-API-Key": PAGES})
            drain = await api.post("/nodes/n1/drain", headers={"X-API-Key": PAGES, "X-Forwarded-For": "192.0.2.7"})
            away = await api.get("/billing/users/ann", headers={"X-API-Key": FULL})
            await api.get("/stats", headers={"X-API-Key": "x" * 32})
            nats_server.kill9()
            lost = await api.post(START, json={"userName": "Ann"}, headers={"X-API-Key": PAGES})
            ready = [await api.get("/ready", headers=key) for key in ({}, {"X-API-Key": FULL})]

    assert "/voice/openapi.json" in page.text
    assert "evil.example" not in page.text
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert (started.status_code, drain.status_code) == (200, 403)
    assert "admin" in drain.json()["detail"]
    for answer, code in ((away, "billing_unavailable"), (lost, "bus_unavailable")):
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert "127.0.0.1" not in answer.text, "an inner address is the operator's"
    assert "127.0.0.1" not in ready[0].text
    assert str(nats_server.port) in ready[1].text, "an operator is told where NATS should be"
    log = (tmp_path / "gateway" / "gateway.log").read_text()
    assert '"event": "auth.refused"' in log
    assert '"client": "192.0.2.7"' in log, "a proxy on this machine is believed"
    assert FULL not in log
    assert PAGES not in log
