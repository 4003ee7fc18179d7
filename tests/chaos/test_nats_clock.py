"""Row 33, the clock of NATS itself: it is set by five minutes under calls, forward or back, and back again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from chassis.nats import Bus
from contracts.events import AgentReady, SessionEnded
from contracts.streams import BUCKETS, SESSIONS, STREAMS
from tests.chaos import nats_clock
from tests.chaos.cell import Cell, Shape
from tests.chaos.clocks import Clock
from tests.integration.scheduler.stack import StandInNode, ask_end, ended, events, request, wait_for
from tests.support.servers import NatsServer, Scheduler
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(1200)]  # the first one builds nats-server

SHAPE = Shape(nats_clocks=True)
AHEAD_S = 300
LIMITS = {"QUEUE_DEADLINE_S": "60", "SESSION_TIMEOUT": "120000", "CALLER_JOIN_TIMEOUT_S": "60"}  # shorter than the step
QUIET_S = 8.0  # longer than two leases of a node: what is judged wrongly is judged by then


@pytest.fixture
def program() -> None:
    try:
        nats_clock.program()
    except nats_clock.NotBuilt as error:
        pytest.skip(f"nats-server with a clock that can be set cannot be built here: {error}")


@pytest_asyncio.fixture(loop_scope="module")
async def nats(program: None, tmp_path: Path) -> AsyncIterator[tuple[NatsServer, Bus, Clock]]:
    server, clock = NatsServer(tmp_path / "nats"), Clock(tmp_path / "nats.clock")
    server.use(nats_clock.wrapped(tmp_path / "nats.sh", clock.file))
    with server:
        bus = await Bus.connect(server.url, name="test", graceful_timeout_s=2)
        await bus.ensure(STREAMS, BUCKETS)
        yield server, bus, clock
        await bus.close()


@pytest.mark.parametrize("ahead_s", [AHEAD_S, -AHEAD_S])
async def test_row_33_the_clock_of_nats_is_set_and_no_deadline_notices(
    nats: tuple[NatsServer, Bus, Clock], tmp_path: Path, ahead_s: int
) -> None:
    server, bus, clock = nats
    with Scheduler(tmp_path / "scheduler", server.url, RECONCILE_S="1", **LIMITS) as scheduler:
        await until(scheduler.leads, what="it never led")
        async with StandInNode(bus, "n1", slots=1) as node:
            running = await request(bus)
            await wait_for(bus, running, AgentReady)
            waiting = await request(bus)
            before = (await bus.use_of(SESSIONS)).at
            for by_s in (ahead_s, 0):
                clock.step(by_s)
                await asyncio.sleep(QUIET_S)
                moved_s = ((await bus.use_of(SESSIONS)).at - before).total_seconds()
                assert abs(moved_s - by_s) < 4 * QUIET_S, "the server's clock was not set"
                for session_id in (running, waiting):
                    assert not await events(bus, session_id, SessionEnded)

            await ask_end(bus, running)
            assert (await ended(bus, running)).billable_ms == node.served_ms
            await wait_for(bus, waiting, AgentReady)
            await ask_end(bus, waiting)
            await ended(bus, waiting)
            assert [job.epoch for _, job in node.asked] == [1, 1]


@pytest.mark.parametrize("ahead_s", [AHEAD_S, -AHEAD_S])
async def test_row_33_the_clock_of_nats_is_set_under_the_calls_of_a_whole_cell(cell: Cell, ahead_s: int) -> None:
    calls = await cell.serving(3)
    for by_s in (ahead_s, 0):
        cell.clocks["nats-1"].step(by_s)
        await asyncio.sleep(QUIET_S)
        calls += await cell.serving(1)

    assert await cell.open_sessions() == set(calls), cell.logs()
    assert {session_id: await cell.count("assigned", session_id) for session_id in calls} == dict.fromkeys(calls, 1)
    await cell.leader(5)
    await cell.check()
