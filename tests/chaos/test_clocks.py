"""Row 33: a wall clock is five minutes wrong, or is set while a call runs; durations come from monotonic clocks."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from contracts.events import JobAssigned
from tests.chaos import clocks
from tests.chaos.cell import START, Cell, Shape
from tests.chaos.clocks import Clock
from tests.chaos.invariants import Served, check
from tests.chaos.scene import Scene

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
    pytest.mark.skipif(clocks.library() is None, reason="libfaketime is not there or does not work on this machine"),
]

SHAPE = Shape(clocks=True, nodes=1, schedulers=2, gateways=1)
AHEAD_S = 300
NOTICED_S = 1.5


@pytest_asyncio.fixture(loop_scope="module")
async def clock(scene: Scene, tmp_path: Path) -> AsyncIterator[Clock]:
    """The clock of the scene's node."""
    node = scene.node(scene.nodes[0])
    spec = node.spec
    clock = Clock(tmp_path / "node.clock")
    await node.stop()
    node.spec = replace(spec, environment={**spec.environment, **clock.environment})
    await node.start()
    await scene.restore()
    yield clock
    await node.stop()
    node.spec = spec


async def test_row_33_a_call_on_a_node_whose_clock_goes_and_is_set_is_billed_rightly(
    scene: Scene, clock: Clock
) -> None:
    clock.step(AHEAD_S)
    await asyncio.sleep(NOTICED_S)
    async with scene.call() as (session, caller):
        await asyncio.sleep(2)
        clock.step(-AHEAD_S)
        await asyncio.sleep(NOTICED_S)
        asked = await caller.say(await scene.speech("What time is it?"))
        await caller.answered(after=asked.at, deadline_s=20)
        left = await caller.leave()
        await session.end()

        assert len(session.events(JobAssigned)) == 1, session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at)))


@pytest.mark.parametrize("ahead_s", [AHEAD_S, -AHEAD_S])
async def test_row_33_whichever_service_has_a_wrong_clock_calls_start_and_end(cell: Cell, ahead_s: int) -> None:
    for name in ("scheduler-1", "scheduler-2", "billing", "node-1"):
        cell.clocks[name].step(ahead_s)
        await asyncio.sleep(NOTICED_S)
        began = time.monotonic()
        sessions = await cell.serving(2)
        await asyncio.sleep(1)
        await asyncio.gather(*(cell.end(session_id) for session_id in sessions))
        assert [await cell.count("assigned", session_id) for session_id in sessions] == [1, 1], name
        assert time.monotonic() - began < 20, name
        cell.clocks[name].step(0)
    await cell.check()


async def test_row_33_a_gateway_whose_tokens_livekit_refuses_names_its_clock_and_accepts_nothing(cell: Cell) -> None:
    cell.clocks["gateway-1"].step(AHEAD_S)
    await asyncio.sleep(NOTICED_S)
    answer = await cell.http.post(f"{cell.gateway()}{START}", json={"userName": "Ann"})
    cell.clocks["gateway-1"].step(0)
    await asyncio.sleep(NOTICED_S)

    assert (answer.status_code, answer.json()["code"]) == (502, "clock_skew"), answer.text
    assert not await cell.open_sessions()
    await cell.serving(1)
    await cell.check()
