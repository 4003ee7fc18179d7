"""Starts that wait, stream, repeat or find the queue full: gateway and scheduler on real NATS, Redis and LiveKit."""

import asyncio
import json
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from nats.js import JetStreamContext

from chassis.nats import Bus, StreamFull
from contracts.events import AgentSpeaking, SessionEnded, SessionQueued, SessionRequested
from contracts.registry import QUEUE_KEY, IdempotentStart
from contracts.streams import IDEMPOTENCY, QUEUE
from contracts.subjects import session_event
from gateway.domain.idempotency import first_form_name
from tests.integration.gateway.one_stack import bus, folder, gateway, nats
from tests.integration.gateway.playing import START, a_running_call, publish
from tests.support.gateway.builders import first_form
from tests.support.servers import Gateway, NatsServer, Scheduler
from tests.support.waiting import until

__all__ = ["bus", "folder", "gateway", "nats"]

STREAM = {"Accept": "text/event-stream"}
MAX_BOTS, MAX_QUEUE = 3, 5


def heard(session_id: str) -> AgentSpeaking:
    return AgentSpeaking(session_id=session_id, time=datetime.now(UTC), epoch=1, stage_ms={"join": 150, "heard": 600})


async def events_of(bus: Bus, *kinds: type[Any]) -> list[Any]:
    replay = bus.replay([session_event(kind.event, "*") for kind in kinds], until_caught_up=True)
    return [stored.event async for stored in replay]


async def consumers(js: JetStreamContext) -> int:
    return (await js.stream_info("SESSIONS")).state.consumer_count


async def no_more_than(before: int, js: JetStreamContext) -> bool:
    return await consumers(js) <= before


async def test_a_burst_is_queued_or_told_429_and_nothing_accepted_is_lost(
    api: httpx.AsyncClient, bus: Bus, nats: NatsServer, folder: Path
) -> None:
    """Row 40 of the faults: ten times MAX_BOTS starts at once, and no node."""
    limits = {"MAX_BOTS": str(MAX_BOTS), "MAX_QUEUE": str(MAX_QUEUE), "QUEUE_DEADLINE_S": "30"}
    with Scheduler(folder / "scheduler", nats.url, **limits):
        await until(lambda: bus.bucket(QUEUE).get(QUEUE_KEY), 10, "the scheduler reports its queue")
        answers = await asyncio.gather(*(api.post(START, json={"userName": f"User {n}"}) for n in range(10 * MAX_BOTS)))
        keyed = await api.post(START, json={"userName": "Late"}, headers={"Idempotency-Key": "late"})
        queued = {event.session_id for event in await events_of(bus, SessionQueued)}
        rejected = {event.session_id for event in await events_of(bus, SessionEnded)}

    accepted = {answer.json()["sessionId"] for answer in answers if answer.status_code == 200}
    refused = [answer for answer in (*answers, keyed) if answer.status_code != 200]
    assert {answer.status_code for answer in refused} == {429}
    assert {answer.json()["code"] for answer in refused} == {"queue_full"}
    assert {answer.json()["fault"] for answer in refused} == {"capacity"}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert accepted == queued
    assert len(accepted) == MAX_QUEUE
    assert rejected == {answer.json()["session_id"] for answer in refused}


async def test_a_key_that_was_told_429_starts_again(api: httpx.AsyncClient) -> None:
    answer = await api.post(START, json={"userName": "Late"}, headers={"Idempotency-Key": "late"})

    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


async def test_a_stream_gives_the_token_before_anything_happens_and_leaves_no_consumer_behind(
    api: httpx.AsyncClient, bus: Bus
) -> None:
    before = await consumers(bus.js)
    names: list[str] = []
    async with api.stream("POST", START, json={"userName": "Ann"}, headers=STREAM) as answer:
        lines = answer.aiter_lines()
        async for line in lines:
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
            if line.startswith("data: ") and names == ["accepted"]:
                session_id = json.loads(line.removeprefix("data: "))["sessionId"]
                await publish(bus, *a_running_call(session_id), heard(session_id))

    assert names == ["accepted", "joined", "speaking"]
    await until(lambda: no_more_than(before, bus.js), 5, "no consumer is left behind")


async def test_an_end_leaves_no_consumer_behind(api: httpx.AsyncClient, bus: Bus) -> None:
    session_id = (await api.post(START, json={"userName": "Ann"})).json()["sessionId"]
    before = await consumers(bus.js)

    answer = await api.post("/orchestrator/session/end", json={"sessionId": session_id})

    assert answer.json()["code"] == "end_pending"
    await until(lambda: no_more_than(before, bus.js), 5, "no consumer is left behind")


async def test_a_key_of_the_version_before_is_honoured(api: httpx.AsyncClient, bus: Bus) -> None:
    first = (await api.post(START, json={"userName": "Ann"})).json()
    entry = IdempotentStart(session_id=first["sessionId"], body_sha256=first_form({}))
    await bus.bucket(IDEMPOTENCY).create(first_form_name("old"), entry.model_dump_json().encode())

    again = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "old"})

    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first, "true")


async def test_an_unreadable_entry_gives_way(api: httpx.AsyncClient, bus: Bus) -> None:
    await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "spoilt"})
    for name in await bus.bucket(IDEMPOTENCY).all():
        await bus.bucket(IDEMPOTENCY).put(name, b"\xff{")

    answers = [await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "spoilt"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


async def test_a_full_bucket_is_named_and_stops_no_start_without_a_key(api: httpx.AsyncClient, bus: Bus) -> None:
    assert (await bus.js.stream_info("KV_idempotency")).config.max_bytes == 1024**2
    requests = len(await events_of(bus, SessionRequested))
    size = 400_000
    while size > 50:
        try:
            await bus.bucket(IDEMPOTENCY).put(f"filler.{time.monotonic_ns()}", b"x" * size)
        except StreamFull:
            size //= 2
    try:
        began = time.monotonic()
        keyed = await api.post(START, json={"userName": "Ann"}, headers={"Idempotency-Key": "new"})
        assert (keyed.status_code, keyed.json()["code"]) == (503, "idempotency_store_full")
        assert time.monotonic() - began < 2, "a full bucket is known at once"
        assert len(await events_of(bus, SessionRequested)) == requests
        assert (await api.post(START, json={"userName": "Ann"})).status_code == 200
    finally:
        await bus.js.purge_stream("KV_idempotency")


async def test_without_a_scheduler_a_start_does_not_wait_for_its_word(api: httpx.AsyncClient, bus: Bus) -> None:
    async def expired() -> bool:
        return await bus.bucket(QUEUE).get(QUEUE_KEY) is None

    await until(expired, 10, "the report expires")
    assert (await api.post(START, json={"userName": "Ann"})).status_code == 200


async def test_a_gateway_that_stops_answers_those_who_wait(api: httpx.AsyncClient, gateway: Gateway) -> None:
    start = {"userName": "Ann", "wait": "joined"}
    plain = asyncio.create_task(api.post(START, json=start))
    streamed = asyncio.create_task(api.post(START, json=start, headers=STREAM))
    await until(lambda: "gateway_log_followers 2.0" in gateway.get("/metrics")[1], 10, "both wait")
    process = gateway._process
    assert process is not None

    process.send_signal(signal.SIGTERM)
    answer, stream = await asyncio.wait_for(asyncio.gather(plain, streamed), 10)

    assert (answer.status_code, answer.json()["code"]) == (503, "gateway_stopping")
    assert answer.json()["session_id"].startswith("session_")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "event: failed" in stream.text
    assert "gateway_stopping" in stream.text
    assert await asyncio.to_thread(process.wait, 10) == 0
