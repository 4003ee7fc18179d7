"""Rows 29 to 31: LiveKit is killed and started again, told to stop twice, or its webhooks fail."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from contracts.events import Outcome, TurnFinished
from tests.chaos.invariants import SEEN_S, Served, check
from tests.chaos.network import Refusing
from tests.chaos.participant import AGENT, Report
from tests.chaos.scene import OPENING, Scene

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

ENVIRONMENT = {"RECONNECT_GRACE_S": "6"}
GRACE_S = 6.0
FOUND_S = 20.0  # the reconciler looks every 15 s
BACK_S = 15.0  # clients try again after pauses that grow to 7 s


@pytest.mark.parametrize("down_s", [0.0, 6.0])
async def test_row_29_after_a_restart_of_livekit_caller_and_agent_meet_again(scene: Scene, down_s: float) -> None:
    livekit = scene.stack.processes["livekit"]
    async with scene.call() as (session, caller):
        killed_at = time.monotonic()
        livekit.signal(signal.SIGKILL)
        await livekit.wait()
        await asyncio.sleep(down_s)
        await livekit.start()
        up_at = time.monotonic()

        def met_again() -> Report | None:
            """Both have a connection to the new server: the agent is in the room under a new participant's id."""
            came = [r for r in caller.reports if r.kind == "other_joined" and r.who.startswith(AGENT)]
            return came[-1] if came[-1].at > up_at - 1 else None

        back = await caller.until(met_again, BACK_S, "agent in the room again")
        await asyncio.sleep(1)
        asked = await caller.say(await scene.speech("What time is it?"))
        await caller.answered(after=asked.at, deadline_s=20)
        left = await caller.leave()
        await session.end()

        assert [t.heard_text for t in session.events(TurnFinished)].count(OPENING) == 1, session.evidence()
        # While the server was away neither client could know whether the other was still there.
        served = Served(caller.served_s(left.at, killed_at), crashes=1, unnoticed_s=back.at - killed_at)
        await check(scene, session, caller, served=served)


async def test_row_30_livekit_told_to_stop_twice_is_gone_at_once_and_the_call_is_billed_to_then(scene: Scene) -> None:
    livekit = scene.stack.processes["livekit"]
    async with scene.call() as (session, caller):
        await asyncio.sleep(1)
        stopped_at = time.monotonic()
        for _ in range(2):
            livekit.signal(signal.SIGTERM)
            await asyncio.sleep(0.3)
        async with asyncio.timeout(10):
            await livekit.wait()
        gone_at = time.monotonic()
        await session.end()
        await livekit.start()

        served = Served(caller.served_s(stopped_at), unnoticed_s=gone_at - stopped_at + SEEN_S)
        await check(scene, session, caller, served=served)


@pytest.mark.parametrize("status", [500, None], ids=["refused", "hanging"])
async def test_row_31_without_webhooks_a_call_whose_caller_left_ends_and_costs_the_same(
    scene: Scene, status: int | None
) -> None:
    livekit = scene.stack.processes["livekit"]
    configuration = Path(livekit.spec.command[-1])
    whole = configuration.read_text()
    async with Refusing(status) as refusing:
        content = json.loads(whole)
        content["webhook"]["urls"] = [f"http://127.0.0.1:{refusing.port}/"]
        try:
            configuration.write_text(json.dumps(content))
            await livekit.stop()
            await livekit.start()
            async with scene.call() as (session, caller):
                await asyncio.sleep(1)
                left = await caller.leave()
                ended = await session.ended(GRACE_S + FOUND_S + 5)
                assert (ended.outcome, ended.reason) == (Outcome.COMPLETED, "caller_left"), session.evidence()
                assert refusing.asked > 0
                await check(scene, session, caller, served=Served(caller.served_s(left.at)))
        finally:
            configuration.write_text(whole)
            await livekit.stop()
            await livekit.start()
