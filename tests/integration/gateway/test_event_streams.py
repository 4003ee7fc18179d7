"""Streams of events over real connections to a running gateway, from a log on a real NATS."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from chassis.nats import Bus
from tests.integration.gateway.playing import a_bill, a_request, a_running_call, a_turn, an_end, publish
from tests.support.servers import Gateway
from tests.support.waiting import until

PATH = "/v1/sessions/session_a/events"
LIMIT = 5


@pytest.fixture
def gateway_variables() -> dict[str, str]:
    return {"EVENT_STREAMS_MAX": str(LIMIT)}


class Reader:
    """One open stream, read in the background."""

    def __init__(self, api: httpx.AsyncClient, path: str, last_id: str | None = None) -> None:
        self.events: list[tuple[str, str]] = []
        self.data: list[Any] = []
        self.comments: list[str] = []
        self.task = asyncio.create_task(self._read(api, path, {"Last-Event-ID": last_id} if last_id else {}))

    async def _read(self, api: httpx.AsyncClient, path: str, headers: dict[str, str]) -> int:
        async with api.stream("GET", path, headers=headers) as answer:
            block: dict[str, str] = {}
            async for line in answer.aiter_lines():
                if line.startswith(":"):
                    self.comments.append(line)
                elif line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                elif block:
                    if "event" in block:
                        self.events.append((block["event"], block.get("id", "")))
                        self.data.append(json.loads(block["data"]))
                    block = {}
            return answer.status_code

    async def until(self, count: int) -> None:
        await until(lambda: len(self.events) >= count)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def metric(api: httpx.AsyncClient, name: str) -> float:
    lines = (await api.get("/metrics")).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


async def test_a_session_is_followed_across_connections_and_all_is_released(api: httpx.AsyncClient, bus: Bus) -> None:
    await publish(bus, a_request("session_a"), a_request("session_b"), *a_running_call("session_a"))
    first = Reader(api, PATH)
    await first.until(4)
    await publish(bus, a_turn(0))
    await first.until(5)
    await first.leave()
    await publish(bus, a_turn(1), *an_end("session_b"))

    second = Reader(api, PATH, first.events[-1][1])
    await publish(bus, a_turn(2), *an_end("session_a"), a_bill())
    status = await asyncio.wait_for(second.task, 10)
    rest = await api.get(PATH, headers={"Last-Event-ID": second.events[-1][1]})

    assert status == 200
    assert [kind for kind, _ in (*first.events, *second.events)] == [
        *("requested", "assigned", "agent_ready", "started", "turn"),
        *("turn", "turn", "agent_stopped", "ended", "billed"),
    ]
    assert rest.status_code == 204
    await until(lambda: _none_open(api))


async def _none_open(api: httpx.AsyncClient) -> bool:
    return await metric(api, "gateway_event_streams") == await metric(api, "gateway_log_followers") == 0


async def test_the_live_stream_follows_every_session_and_shares_one_reader(api: httpx.AsyncClient, bus: Bus) -> None:
    await publish(bus, a_request("session_a"))
    readers = [Reader(api, "/v1/events") for _ in range(3)]
    for reader in readers:
        await reader.until(1)
    assert await metric(api, "gateway_log_followers") == 1
    await publish(bus, *a_running_call("session_a"), a_turn(1), *an_end("session_a"), a_bill())

    for reader in readers:
        await until(lambda reader=reader: reader.data[-1]["credits"] == 2)
        await reader.leave()

    await until(lambda: _none_open(api))


async def test_a_stream_too_many_is_refused_until_another_ends(api: httpx.AsyncClient, bus: Bus) -> None:
    await publish(bus, a_request("session_a"))
    readers = [Reader(api, PATH) for _ in range(LIMIT)]
    for reader in readers:
        await reader.until(1)

    refused = await api.get(PATH)
    await readers[0].leave()

    async def open_again() -> bool:
        return (await api.get(f"{PATH}?deadlineMs=100")).status_code == 200

    assert (refused.status_code, refused.json()["code"]) == (503, "too_many_streams")
    await until(open_again)
    for reader in readers[1:]:
        await reader.leave()


async def test_a_gateway_that_stops_says_so_and_ends_at_once(
    gateway: Gateway, api: httpx.AsyncClient, bus: Bus
) -> None:
    await publish(bus, a_request("session_a"))
    readers = [Reader(api, PATH), Reader(api, "/v1/events")]
    for reader in readers:
        await reader.until(1)

    await asyncio.to_thread(gateway.stop)

    for reader in readers:
        await asyncio.wait_for(reader.task, 5)
        assert reader.comments[-1] == ": this gateway stops; connect again"
