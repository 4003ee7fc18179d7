"""Row 29: LiveKit is killed and started again."""

import asyncio
import signal
import time

import pytest
from contracts.events import TurnFinished

from tests.chaos.invariants import Served, check
from tests.chaos.participant import AGENT, Report
from tests.chaos.scene import OPENING, Scene

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

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
