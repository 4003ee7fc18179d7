"""A call through a room in which the agent waited already: heard, answered, billed from the start, nothing left."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import redis.asyncio

from contracts.api import SessionView, StartRequest
from greenroom_cli.call.place import Script, place_call
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment
from tests.e2e.conftest import CLOCK, TOLD, rooms, words
from tests.support.processes import is_alive

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """A stack that holds one room ready."""
    variables = {"PREWARM_POOL_SIZE": "2", "PREJOIN_POOL_SIZE": "1", "SANDBOX_CLOCK": CLOCK}
    async with running_stack(
        tmp_path_factory.mktemp("stack"), StackOptions(environment=system_environment() | variables)
    ) as running:
        yield running


async def waiting(stack: Stack, but: str = "") -> str:
    """The room that waits, once there is one (and it is another)."""
    async with (
        asyncio.timeout(30),
        redis.asyncio.from_url(stack.environment["REDIS_URL"], decode_responses=True) as store,
    ):
        while True:
            ready = {str(name) for name in await store.smembers("pool:ready")}
            found = {name for name in ready if name.startswith("session_")} - {but}
            if found:
                (session,) = found
                return session
            await asyncio.sleep(0.1)


async def test_a_call_in_a_room_that_waited_is_heard_billed_from_its_start_and_leaves_another(
    stack: Stack, tmp_path: Path
) -> None:
    session = await waiting(stack)
    await asyncio.sleep(3)  # unbilled
    settings = Settings.of(stack.environment)

    script = Script(StartRequest(user_name="Anna"), ["What time is it?"])
    report = await place_call(settings, script, tmp_path / "heard.wav", lambda *_: None)

    assert report.session_id == session
    assert {"help", "you", "today"} <= set(words(report.opening))
    assert set(words(report.turns[0].heard)) & TOLD
    assert (report.bill.minutes, report.bill.outcome, report.bill.difference_ms) == (1, "completed", 0)
    together = report.timeline.ended_s - report.timeline.caller_joined_s
    assert abs(report.bill.billable_ms / 1000 - together) < 1.5
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        view = SessionView.model_validate((await client.get(f"/sessions/{session}")).json())
        assert view.agent_pid is not None
        assert not is_alive(view.agent_pid)
        following = await waiting(stack, but=session)
        end = time.monotonic() + 20
        while (left := await rooms(stack)) != {following}:
            assert time.monotonic() < end, left
            await asyncio.sleep(0.2)
        (pool,) = (await client.get("/stats")).json()["pool"]
    assert (pool["prejoined"], pool["busy"]) == (1, 0)


async def test_a_start_whose_client_never_comes_is_no_bill_and_no_orphan(stack: Stack) -> None:
    session = await waiting(stack)
    async with httpx.AsyncClient(base_url=stack.gateway_url, timeout=10) as client:
        started = await client.post("/orchestrator/session/start", json={"userName": "Ann", "wait": "joined"})
        ended = await client.post("/orchestrator/session/end", json={"sessionId": session})

    assert started.json()["sessionId"] == session
    assert started.json()["stageMs"]["join"] < started.json()["stageMs"]["joined"] < 2000
    assert ended.json()["details"]["durationSeconds"] == 0
    following = await waiting(stack, but=session)
    end = time.monotonic() + 20
    while (left := await rooms(stack)) != {following}:
        assert time.monotonic() < end, left
        await asyncio.sleep(0.2)
