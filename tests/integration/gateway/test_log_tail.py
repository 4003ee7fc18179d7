"""Requests that wait for a session's events: told from one reader of the log, however many they are."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from chassis.nats import Bus
from tests.integration.gateway.playing import END, a_request, a_running_call, an_end, publish, scheduler_that_ends
from tests.support.servers import Gateway
from tests.support.waiting import until

MANY = 150


@pytest.fixture
def gateway_variables() -> dict[str, str]:
    return {"END_WAIT_S": "8"}  # none of these ends is late for want of time


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=gateway.url, timeout=40, trust_env=False, limits=limits) as client:
        yield client


async def accepted(bus: Bus, prefix: str, count: int) -> list[str]:
    sessions = [f"session_{prefix}_{n}" for n in range(count)]
    await asyncio.gather(*(publish(bus, a_request(session)) for session in sessions))
    return sessions


async def consumers(bus: Bus) -> int:
    return (await bus.js.stream_info("SESSIONS")).state.consumer_count


async def until_followed(api: httpx.AsyncClient, count: int) -> None:
    async def followed() -> bool:
        return f"gateway_log_followers {count}.0" in (await api.get("/metrics")).text

    await until(followed, within_s=30)


async def test_three_hundred_ends_and_waiting_starts_make_no_consumer(api: httpx.AsyncClient, bus: Bus) -> None:
    starting, ending = await accepted(bus, "s", MANY), await accepted(bus, "e", MANY)
    before = await consumers(bus)

    starts = [asyncio.create_task(api.get(f"/v1/sessions/{s}/start?wait=joined&deadlineMs=30000")) for s in starting]
    ends = [asyncio.create_task(api.post(END, json={"sessionId": s})) for s in ending]
    await until_followed(api, 2 * MANY)
    during = await consumers(bus)
    for session in starting:
        await publish(bus, *a_running_call(session))
    for session in ending:
        await publish(bus, *an_end(session))
    answers = [*await asyncio.gather(*starts), *await asyncio.gather(*ends)]

    assert {answer.status_code for answer in answers} == {200}
    assert (during, await consumers(bus)) == (before, before)


async def test_fifty_ends_a_second_are_all_answered(api: httpx.AsyncClient, bus: Bus) -> None:
    sessions = await accepted(bus, "e", 100)

    async def end(n: int, session: str) -> httpx.Response:
        await asyncio.sleep(n / 50)
        return await api.post(END, json={"sessionId": session})

    async with scheduler_that_ends(bus):
        answers = await asyncio.gather(*(end(n, session) for n, session in enumerate(sessions)))

    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["details"]["durationSeconds"] == 61 for answer in answers)


async def test_a_reader_that_lost_its_consumer_tells_what_came_meanwhile(api: httpx.AsyncClient, bus: Bus) -> None:
    starting, ending = (await accepted(bus, "s", 1))[0], (await accepted(bus, "e", 1))[0]
    start = asyncio.create_task(api.get(f"/v1/sessions/{starting}/start?wait=joined&deadlineMs=30000"))
    end = asyncio.create_task(api.post(END, json={"sessionId": ending}))
    await until_followed(api, 2)

    for info in await bus.js.consumers_info("SESSIONS"):
        await bus.js.delete_consumer("SESSIONS", info.name)
    await publish(bus, *a_running_call(starting), *an_end(ending))

    assert [(await start).status_code, (await end).status_code] == [200, 200]
