"""Something behind the gateway is away, or there but silent: a problem with a code within a deadline, never a hang."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.nats import Bus
from contracts.registry import QUEUE_KEY, QueueState
from contracts.streams import QUEUE, SESSIONS
from gateway.adapters.redis_read_model import session_key
from tests.integration.gateway.playing import END, START, a_request, a_running_call, an_end, publish, requests_in, rooms
from tests.support.servers import API_SECRET, Gateway, LiveKitServer, NatsServer, RedisServer, Server, free_port
from tests.support.waiting import until


def take_away(server: Server, how: str) -> None:
    server.freeze() if how == "frozen" else server.kill9()


def bring_back(server: Server, how: str) -> None:
    server.thaw() if how == "frozen" else server.start()


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_nats_away(
    api: httpx.AsyncClient, nats_server: NatsServer, livekit_server: LiveKitServer, bus: Bus, redis: Any, how: str
) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    await until(lambda: redis.exists(session_key(session_id)), 20, "Redis does not follow the log")
    before = {room.name for room in await rooms(livekit_server)}
    take_away(nats_server, how)
    try:
        for path, body in [
            (START, {"userName": "Ann"}),
            (START, {"userName": "Ann", "sessionId": "session_mine"}),
            (END, {"sessionId": session_id}),
            ("/api/token", {"sessionId": session_id, "userId": "ann"}),
        ]:
            began = time.monotonic()
            answer = await api.post(path, json=body)
            assert (answer.status_code, answer.json()["code"]) == (503, "bus_unavailable"), path
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["retryable"] is True
            assert "NATS_URL" in answer.json()["fix"]
            assert time.monotonic() - began < 8
        left = {room.name for room in await rooms(livekit_server)} - before
        if how == "killed":
            assert len(left) <= 1, "once the connection is known to be lost, no start makes a room"
        assert (await api.get(f"/sessions/{session_id}")).status_code == 200, "Redis has it"
        stats = (await api.get("/stats")).json()
        assert (stats["nats"]["ok"], stats["redis"]["ok"], stats["livekit"]["ok"]) == (False, True, True)
    finally:
        bring_back(nats_server, how)

    give_up = time.monotonic() + 20
    while (await api.post(START, json={"userName": "Ann"})).status_code != 200:
        assert time.monotonic() < give_up, "it does not come back"
    # What NATS stored without saying so is a session, and has its room.
    assert {request.session_id for request in await requests_in(bus)} <= {r.name for r in await rooms(livekit_server)}


async def test_an_end_just_after_nats_lost_its_store_is_to_be_repeated_and_never_unknown(
    api: httpx.AsyncClient, nats_server: NatsServer, bus: Bus
) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    nats_server.kill9()
    nats_server.lose_store()
    nats_server.start()

    give_up = time.monotonic() + 20
    answer = await api.post(END, json={"sessionId": session_id})
    while answer.json()["code"] != "end_pending":
        assert answer.json()["retryable"], answer.text
        assert time.monotonic() < give_up, answer.text
        answer = await api.post(END, json={"sessionId": session_id})
    await publish(
        bus, a_request(session_id), *a_running_call(session_id), *an_end(session_id)
    )  # as the scheduler restores it
    assert (await api.post(END, json={"sessionId": session_id})).status_code == 200

    unknown = {"sessionId": "session_1700000000000_00000000"}
    assert (await api.post(END, json=unknown)).json()["code"] == "end_pending"
    made_ms = round((await bus.use_of(SESSIONS)).created.timestamp() * 1000)
    await bus.bucket(QUEUE).put(QUEUE_KEY, QueueState(waiting=0, max_queue=10, seq=1, restored_ms=made_ms))
    give_up = time.monotonic() + 3
    while (code := (await api.post(END, json=unknown)).json()["code"]) != "unknown_session":
        assert (code, time.monotonic() < give_up) == ("end_pending", True), "the scheduler has restored all"
        await asyncio.sleep(0.05)


async def test_an_unknown_session_is_unknown_again_as_soon_as_nats_is_back_with_its_store(
    api: httpx.AsyncClient, nats_server: NatsServer
) -> None:
    assert (await api.post(START, json={"userName": "Ann"})).status_code == 200
    nats_server.restart()
    give_up = time.monotonic() + 8
    unknown = {"sessionId": "session_1700000000000_00000000"}
    answer = await api.post(END, json=unknown)
    while answer.status_code >= 500:
        assert time.monotonic() < give_up, answer.text
        await asyncio.sleep(0.05)
        answer = await api.post(END, json=unknown)

    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_session")


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_redis_away_changes_no_start_and_no_end(
    api: httpx.AsyncClient, redis_server: RedisServer, bus: Bus, how: str
) -> None:
    take_away(redis_server, how)
    try:
        began = time.monotonic()
        start = await api.post(START, json={"userName": "Ann"})
        assert (start.status_code, time.monotonic() - began < 4) == (200, True)
        session_id = start.json()["sessionId"]
        await publish(bus, *a_running_call(session_id))

        view = await api.get(f"/sessions/{session_id}")
        assert (view.status_code, view.json()["status"]) == (200, "active")
        await publish(bus, *an_end(session_id))
        began = time.monotonic()
        end = await api.post(END, json={"sessionId": session_id})
        assert (end.status_code, end.json()["details"]["redis_cleaned"]) == (200, False)
        assert len(end.json()["details"]["errors"]) == 1
        assert end.json()["details"]["durationMinutes"] == 2
        assert time.monotonic() - began < 4
        assert (await api.get("/sessions/session_never")).status_code == 404
        listing = await api.get("/sessions")
        assert (listing.status_code, listing.json()["code"]) == (503, "redis_unavailable")
        assert "REDIS_URL" in listing.json()["fix"]
        began = time.monotonic()
        stats = await api.get("/stats")
        assert time.monotonic() - began < 3, "STATS_DEADLINE_S, and the machine's own slack"
        assert (stats.status_code, stats.json()["redis"]["ok"], stats.json()["nats"]["ok"]) == (200, False, True)
    finally:
        bring_back(redis_server, how)


async def test_two_hundred_lists_at_once_are_all_answered(gateway: Gateway, bus: Bus) -> None:
    for n in range(10):
        await publish(bus, a_request(f"session_{n}"), *a_running_call(f"session_{n}"))
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False, limits=limits) as client:
        async with asyncio.timeout(10):
            while len((await client.get("/sessions")).json()["items"]) < 10:  # noqa: ASYNC110 - an API to poll
                await asyncio.sleep(0.05)

        answers = await asyncio.gather(*(client.get("/sessions") for _ in range(200)))

    assert {(answer.status_code, len(answer.json()["items"])) for answer in answers} == {(200, 10)}


@pytest.fixture
def own_livekit(tmp_path: Path) -> Iterator[LiveKitServer]:
    with LiveKitServer(tmp_path / "own-livekit") as server:
        yield server


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_livekit_away(
    tmp_path: Path, servers: dict[str, str], own_livekit: LiveKitServer, bus: Bus, how: str
) -> None:
    with Gateway(tmp_path / "gateway", servers | {"LIVEKIT_URL": own_livekit.url}) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url, timeout=20, trust_env=False) as api:
            take_away(own_livekit, how)
            began = time.monotonic()
            answer = await api.post(START, json={"userName": "Ann"})
            assert (answer.status_code, answer.json()["code"]) == (503, "livekit_unavailable")
            assert "LIVEKIT_URL" in answer.json()["fix"]
            assert time.monotonic() - began < 4
            assert await bus.last("voice.v1.session.requested.*") is None, "nothing was promised"
            stats = (await api.get("/stats")).json()
            assert (stats["livekit"]["ok"], stats["nats"]["ok"]) == (False, True)
            bring_back(own_livekit, how)
            assert (await api.post(START, json={"userName": "Ann"})).status_code == 200


def test_a_wrong_livekit_secret_is_named(tmp_path: Path, servers: dict[str, str]) -> None:
    with Gateway(tmp_path / "gateway", servers | {"LIVEKIT_API_SECRET": API_SECRET[::-1]}) as gateway:
        answer = httpx.post(gateway.url + START, json={"userName": "Ann"}, trust_env=False)

    assert (answer.status_code, answer.json()["code"]) == (502, "livekit_refused")
    assert "LIVEKIT_API_SECRET" in answer.json()["fix"]
    assert API_SECRET[::-1] not in answer.text


async def test_billing_away(api: httpx.AsyncClient) -> None:
    for path in ("/billing/sessions/session_a", "/billing/users/ann"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (503, "billing_unavailable")
        assert "Retry-After" in answer.headers


def test_a_voice_list_that_cannot_be_had_slows_no_start(tmp_path: Path, servers: dict[str, str]) -> None:
    voices = {"INWORLD_API_KEY": "some-key", "INWORLD_HTTP_URL": f"http://127.0.0.1:{free_port()}"}
    with Gateway(tmp_path / "gateway", servers | voices) as gateway:
        began = time.monotonic()
        answer = httpx.post(gateway.url + START, json={"userName": "Ann", "voiceId": "Anybody"}, trust_env=False)

    assert (answer.status_code, time.monotonic() - began < 6) == (200, True)
