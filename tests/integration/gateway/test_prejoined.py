"""Rooms joined ahead, raced for by real gateways on a real NATS."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from chassis.nats import Bus
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from gateway.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from gateway.settings import Settings
from tests.support.servers import Gateway, NatsServer
from tests.support.waiting import until

START = "/orchestrator/session/start"


async def offer(bus: Bus, *session_ids: str) -> None:
    """What nodes write when their workers have joined."""
    now = datetime.now(UTC)
    for session_id in session_ids:
        room = PrejoinedRoom(
            session_id=session_id, node_id="n1", joined_at=now, expires_at=now + timedelta(seconds=600)
        )
        await bus.bucket(PREJOINED).create(session_id, room.model_dump_json().encode(), ttl_s=60)


async def one_offered(bus: Bus) -> NatsPrejoinedRooms:
    """The rooms as a gateway knew them when `session_a` was offered, and no later."""
    rooms = NatsPrejoinedRooms(bus)
    watching = asyncio.create_task(rooms.watch())
    await offer(bus, "session_a")
    await until(lambda: rooms.ids, 5)
    watching.cancel()
    await asyncio.wait([watching])
    return rooms


async def known(redis: Any, *session_ids: str) -> None:
    """Wait until the gateway knows these rooms, which shows in Redis."""
    async with asyncio.timeout(10):
        while not set(session_ids) <= await redis.smembers("pool:ready"):  # noqa: ASYNC110 - Redis has no event
            await asyncio.sleep(0.02)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Any]:
    client: Any = Redis.from_url(redis_url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
async def rival(tmp_path: Path, gateway: Gateway, servers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A second gateway, which does not lead the projection."""
    with Gateway(tmp_path / "rival", servers) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=20, trust_env=False) as client:
            yield client


async def test_each_room_goes_to_one_start_whichever_gateway_it_comes_through(
    api: httpx.AsyncClient, rival: httpx.AsyncClient, bus: Bus, redis: Any
) -> None:
    rooms = {f"session_ahead_{n}" for n in range(4)}
    await offer(bus, *rooms)
    await known(redis, *rooms)

    answers = await asyncio.gather(
        *((api if n % 2 else rival).post(START, json={"userName": f"User {n}"}) for n in range(10))
    )

    assert {answer.status_code for answer in answers} == {200}
    sessions = [answer.json()["sessionId"] for answer in answers]
    assert len(set(sessions)) == 10
    assert rooms <= set(sessions)
    assert await bus.bucket(PREJOINED).all() == {}


async def test_a_key_that_comes_back_gives_no_second_start_the_same_session(
    api: httpx.AsyncClient, bus: Bus, redis: Any
) -> None:
    await offer(bus, "session_a")
    await known(redis, "session_a")
    first = (await api.post(START, json={"userName": "Ann"})).json()

    async def is_gone() -> bool:
        return not await redis.exists("pool:ready")

    await until(is_gone)
    await offer(bus, "session_a")  # as after a SIGKILL of NATS
    await known(redis, "session_a")

    second = await api.post(START, json={"userName": "Bob"})

    assert first["sessionId"] == "session_a"
    assert (second.status_code, second.json()["sessionId"] == "session_a") == (200, False)
    assert await bus.bucket(PREJOINED).all() == {}


async def test_a_repeated_start_gets_the_room_of_the_first(
    api: httpx.AsyncClient, rival: httpx.AsyncClient, bus: Bus, redis: Any
) -> None:
    await offer(bus, "session_a", "session_b")
    await known(redis, "session_a", "session_b")

    first = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k"})
    again = await rival.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "k"})

    assert again.json() == first.json()
    assert set(await bus.bucket(PREJOINED).all()) == {"session_a", "session_b"} - {first.json()["sessionId"]}


async def test_a_room_whose_key_was_renewed_a_moment_ago_is_taken_all_the_same(bus: Bus) -> None:
    rooms = await one_offered(bus)
    entry = await bus.bucket(PREJOINED).get("session_a")
    assert entry is not None
    await bus.bucket(PREJOINED).update("session_a", entry.data, entry.revision)

    assert await rooms.claim(region=None) == "session_a"
    assert await rooms.claim(region=None) is None


async def test_a_silent_nats_costs_a_start_its_room_before_a_request_would_give_up(
    bus: Bus, nats_server: NatsServer
) -> None:
    rooms = await one_offered(bus)
    nats_server.freeze()
    try:
        async with asyncio.timeout(Settings.model_fields["bus_deadline_s"].default):
            assert await rooms.claim(region=None) is None
    finally:
        nats_server.thaw()


async def test_a_nats_that_refuses_costs_a_start_its_room_only(bus: Bus) -> None:
    rooms = await one_offered(bus)
    stream = (await bus.js.stream_info("KV_prejoined")).config
    await bus.js.update_stream(stream.evolve(sealed=True))

    assert await rooms.claim(region=None) is None
