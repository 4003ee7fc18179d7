"""Rows 7, 8, 10, 12, 13, 15 to 23, 32 and 40: the control plane under faults, with stub nodes instead of media."""

import asyncio
import base64
import hashlib
import json
import os
import random
import signal
import sqlite3
import time
from typing import Any

import jwt
import pytest
from redis.asyncio import Redis

from contracts.events import AgentStopped, EndRequested, ServedTick, SessionStarted
from tests.chaos.cell import START, Cell, Shape
from tests.integration.scheduler.stack import new_id, now
from tests.support.servers import API_KEY, API_SECRET

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SHAPE = Shape(max_bots=12, nodes=2, slots=8, environment={"MAX_QUEUE": "60"})
STEPS = (
    0.002,
    0.006,
    0.012,
    0.02,
    0.04,
)  # from the request on, s: within them slot, `assigned`, command, `agent_ready`


@pytest.mark.subset
async def test_row_7_a_scheduler_killed_between_any_two_steps_starts_each_session_once(cell: Cell) -> None:
    for pause_s in STEPS:
        leader = await cell.leader(15)
        starting = [asyncio.create_task(cell.started(f"User {n}")) for n in range(2)]
        await asyncio.sleep(pause_s + 0.02)  # the gateway's own part takes about so long
        cell.server(leader).kill9()
        sessions = await asyncio.gather(*starting)
        for session_id in sessions:
            await cell.until("started", session_id)
            assert await cell.count("assigned", session_id) == 1
        await cell.restart(leader)
        await asyncio.gather(*(cell.end(session_id) for session_id in sessions))
    await cell.check()


@pytest.mark.subset
async def test_row_8_two_schedulers_at_once_keep_to_max_bots(cell: Cell) -> None:
    frozen = cell.server(await cell.leader(15))
    half = await cell.serving(3)
    frozen.freeze()
    burst = [asyncio.create_task(cell.started(f"User {n}")) for n in range(SHAPE.max_bots)]
    await asyncio.sleep(2.5)  # its lease has expired, another leads; it does now what it was about to do
    frozen.thaw()
    sessions = [*half, *await asyncio.gather(*burst)]
    for n, session_id in enumerate(sessions):  # the last three come into the slots of those that end
        if n < SHAPE.max_bots:
            await cell.until("agent_ready", session_id)
        await cell.end(session_id)
    await cell.check()


@pytest.mark.subset
async def test_row_10_nats_killed_amid_starts_and_ends_loses_no_acknowledged_event(cell: Cell) -> None:
    ending = await cell.serving(4)
    work = [asyncio.create_task(cell.started(f"User {n}")) for n in range(6)]
    ends = [asyncio.create_task(cell.end(session_id)) for session_id in ending]
    await asyncio.sleep(0.05)
    for _ in range(2):
        await cell.restart("nats")
        await asyncio.sleep(0.5)
    sessions = await asyncio.gather(*work)
    await asyncio.gather(*ends)
    for session_id in sessions:
        await cell.until("started", session_id)
        assert await cell.count("assigned", session_id) == 1
    await cell.check()


@pytest.mark.subset
async def test_row_12_redis_flushed_amid_calls_is_rebuilt_and_answers_no_false_404(cell: Cell) -> None:
    sessions = await cell.serving(3)
    async with Redis.from_url(cell.redis.url) as store:
        await store.flushall()
        statuses: set[int] = set()
        until = time.monotonic() + 10
        while await store.exists(*(f"session:{session_id}" for session_id in sessions)) != len(sessions):
            statuses |= {(await cell.http.get(f"{cell.gateway()}/sessions/{s}")).status_code for s in sessions}
            assert time.monotonic() < until, "the read model is not rebuilt"
    assert statuses <= {200, 503}
    await cell.check()


@pytest.mark.subset
async def test_row_13_a_full_redis_changes_no_start_and_no_end_and_loses_no_key(cell: Cell) -> None:
    before = await cell.serving(2)
    async with Redis.from_url(cell.redis.url, decode_responses=True) as store:
        shown = await store.hgetall(f"session:{before[0]}")
        await store.config_set("maxmemory", "1")
        try:
            during = await cell.serving(2)
            await cell.end(during[0])
            answer = await cell.http.get(f"{cell.gateway()}/sessions/{before[0]}")
            assert (answer.status_code, answer.json()["status"]) == (200, "active")
            assert await store.hgetall(f"session:{before[0]}") == shown
        finally:
            await store.config_set("maxmemory", "0")
    await cell.check()


async def test_row_14_a_locked_sqlite_settles_later_and_once(cell: Cell) -> None:
    sessions = await cell.serving(3)
    lock = sqlite3.connect(cell.database.removeprefix("sqlite+aiosqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    await asyncio.gather(*(cell.end(session_id) for session_id in sessions))
    later = await cell.started("Late")
    await asyncio.sleep(8)  # longer than a writer waits for the lock
    billed = [await cell.count("billed", session_id) for session_id in sessions]
    lock.execute("ROLLBACK")
    lock.close()
    assert billed == [0, 0, 0]
    await cell.until("started", later)
    for session_id in sessions:
        await cell.until("billed", session_id, within_s=40)
    await cell.check()


async def test_row_15_without_billing_calls_go_on_and_keep_to_their_limit(cell: Cell) -> None:
    billing = cell.server("billing")
    running = await cell.serving(2, creditLimit=1)
    billing.kill9()
    during = await cell.serving(2, creditLimit=1)
    await asyncio.gather(*(cell.end(session_id) for session_id in running))
    await asyncio.sleep(3)
    assert [await cell.count("billed", session_id) for session_id in running] == [0, 0]
    await asyncio.to_thread(billing.start)
    await asyncio.gather(*(cell.end(session_id) for session_id in during))
    await cell.check()


async def test_row_16_billing_killed_at_any_moment_settles_each_session_once(cell: Cell) -> None:
    chance = random.Random(16)
    for _ in range(3):
        sessions = await cell.serving(4)
        ends = [asyncio.create_task(cell.end(session_id)) for session_id in sessions]
        await asyncio.sleep(chance.uniform(0.02, 0.3))
        await cell.restart("billing")
        await asyncio.gather(*ends)
    await cell.check()


async def test_row_17_a_gateway_killed_before_its_reply_gives_the_same_session_to_the_same_key(cell: Cell) -> None:
    chance = random.Random(17)
    for n in range(4):
        key = f"row-17-{n}"
        asked = asyncio.create_task(cell.started("Ann", key=key))
        await asyncio.sleep(chance.uniform(0.0, 0.06))
        await cell.restart("gateway-1")
        session_id = await asked
        assert await cell.started("Ann", key=key) == session_id
    requested = [m for m in (await cell.check()).log if ".requested." in m.subject]
    assert len(requested) == len({m.subject for m in requested})


@pytest.mark.subset
async def test_row_18_the_same_key_with_another_body_starts_nothing(cell: Cell) -> None:
    session_id = await cell.started("Ann", key="row-18")
    answer = await cell.http.post(
        f"{cell.gateway()}{START}", json={"userName": "Peter"}, headers={"Idempotency-Key": "row-18"}
    )
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert await cell.open_sessions() == {session_id}
    await cell.check()


@pytest.mark.subset
async def test_rows_19_and_23_duplicates_and_disorder_bill_the_last_served_time(cell: Cell) -> None:
    """The copies carry other ids, as after the window in which JetStream knows an id."""
    (session_id,) = await cell.serving(1)
    await cell.until("tick", session_id)
    told = [stored for stored in await cell.bus.history(session_id) if ".agent_ready." not in stored.subject]
    copies = [s for s in told if isinstance(s.event, ServedTick | SessionStarted)]
    for n, stored in enumerate(reversed(copies * 3)):
        headers = {"Nats-Msg-Id": f"{session_id}-copy-{n}"}
        await cell.bus.publish_raw(stored.subject, stored.data, stream="SESSIONS", headers=headers)
    await asyncio.sleep(2)
    await cell.check()


@pytest.mark.subset
async def test_row_20_an_end_before_its_start_ends_the_session(cell: Cell) -> None:
    session_id = new_id()
    await cell.bus.publish(EndRequested(session_id=session_id, time=now(), by="gateway", reason="rest"))
    assert await cell.started(sessionId=session_id) == session_id
    await cell.until("ended", session_id)
    await cell.check()


@pytest.mark.subset
async def test_row_21_a_job_whose_last_report_is_lost_is_found_and_billed_to_its_last_tick(cell: Cell) -> None:
    (session_id,) = await cell.serving(1)
    await cell.until("tick", session_id)
    nodes = [cell.server(name).pid for name in cell.processes if name.startswith("node")]
    for pid in nodes:
        os.kill(pid, signal.SIGUSR2)
    for pid in nodes:
        os.kill(pid, signal.SIGUSR1)
    await cell.until("agent_ready", session_id, n=2, within_s=30)
    for pid in nodes:
        os.kill(pid, signal.SIGUSR2)
    assert await cell.count("agent_stopped", session_id) == 0
    await cell.check()


@pytest.mark.subset
async def test_row_22_what_comes_after_the_end_adds_an_adjustment_and_changes_no_row(cell: Cell) -> None:
    (session_id,) = await cell.serving(1)
    await asyncio.sleep(2.5)
    before = await cell.check()
    settled = [row for row in before.settlements or [] if row["session_id"] == session_id]
    for event in (
        ServedTick(session_id=session_id, time=now(), epoch=1, served_ms=2_700),
        AgentStopped(session_id=session_id, time=now(), epoch=1, cause="late", served_ms=2_900),
    ):
        await cell.bus.publish(event)
    await asyncio.sleep(1)
    after = await cell.check()
    assert [row for row in after.settlements or [] if row["session_id"] == session_id] == settled


@pytest.mark.subset
async def test_row_32_one_webhook_sent_a_hundred_times_is_one_event(cell: Cell) -> None:
    (session_id,) = await cell.serving(1)
    sent = _webhook(session_id)
    answers = await asyncio.gather(*(cell.http.post(f"{cell.gateway()}/livekit/webhook", **sent) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    await asyncio.sleep(1)
    assert await cell.count("ended", session_id) == 0
    webhooks = [m for m in (await cell.check()).webhooks if (m.body or {}).get("id") == f"webhook-{session_id}"]
    assert len(webhooks) == 1


@pytest.mark.subset
async def test_row_40_of_a_burst_of_ten_times_max_bots_nothing_accepted_is_lost(cell: Cell) -> None:
    burst = [asyncio.create_task(cell.start(f"User {n}", wait="joined", deadlineMs=30_000)) for n in range(120)]
    finished: set[str] = set()
    while not all(task.done() for task in burst):
        for session_id in await cell.open_sessions() - finished:
            if await cell.count("started", session_id):
                finished.add(session_id)
                await cell.end(session_id)
        await asyncio.sleep(0.1)
    answers = await asyncio.gather(*burst, return_exceptions=True)
    assert any(isinstance(answer, str) for answer in answers)
    await cell.check()


def _webhook(session_id: str) -> dict[str, Any]:
    """A webhook as LiveKit signs it: a participant whom this session does not have came."""
    body = json.dumps(
        {
            "event": "participant_joined",
            "id": f"webhook-{session_id}",
            "createdAt": str(int(time.time())),
            "room": {"name": session_id, "sid": "RM_1"},
            "participant": {"identity": "stranger", "sid": "PA_1"},
        }
    ).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": API_KEY, "exp": int(time.time()) + 300, "nbf": int(time.time()) - 5, "sha256": digest}
    token = jwt.encode(claims, API_SECRET, algorithm="HS256")
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    return {"content": body, "headers": headers}
