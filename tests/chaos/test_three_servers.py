"""Row 9 and more: the whole cell on three NATS servers with three copies of each stream; one at a time goes away."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.chaos.cell import Cell, Shape

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

SHAPE = Shape(nats=3, gateways=2, max_bots=30, slots=20)
AWAY_S = 8.0  # longer than an election
QUIET_S = 8.0  # longer than a node's lease: what is judged wrongly is judged by then
CALLS = 5
NATS = ("nats-1", "nats-2", "nats-3")


async def _under_calls(cell: Cell, disturb: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Calls that run all the time, and starts and ends during the fault: none is lost and none changes hands."""
    chance = random.Random(9)
    running = await cell.serving(CALLS, within_s=40)
    fault = asyncio.create_task(disturb())
    during: list[str] = []

    async def come_and_go(user: str, gateway: int) -> None:
        session_id = await cell.start(user, gateway=gateway)
        assert session_id is not None
        during.append(session_id)
        await asyncio.sleep(1)
        await cell.end(session_id, gateway=gateway)

    async with asyncio.TaskGroup() as tasks:
        while not fault.done():
            tasks.create_task(come_and_go(f"User {len(during)}", chance.randint(1, 2)))
            await asyncio.sleep(0.7)
    await fault
    later = await cell.serving(2, within_s=40)
    await asyncio.sleep(QUIET_S)

    taken_over = [s for s in (*running, *later) if await cell.count("assigned", s) != 1]
    assert not taken_over, f"{len(taken_over)} of {CALLS + 2} calls changed hands: {taken_over}\n{cell.logs()}"
    assert during
    await cell.check()


async def _leader_of_the_log(cell: Cell) -> str:
    info = await cell.bus.js.stream_info("SESSIONS")
    assert info.cluster is not None
    assert info.config.num_replicas == 3
    return f"nats-{(info.cluster.leader or '').removeprefix('n')}"


async def test_row_9_the_logs_leader_is_killed_under_calls(cell: Cell) -> None:
    async def kill() -> None:
        server = cell.server(await _leader_of_the_log(cell))
        server.kill9()
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(server.start)

    await _under_calls(cell, kill)


async def test_a_frozen_server_of_the_log_under_calls(cell: Cell) -> None:
    async def freeze() -> None:
        server = cell.server(await _leader_of_the_log(cell))
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(AWAY_S)
        server.thaw()

    await _under_calls(cell, freeze)


async def test_a_rolling_restart_under_calls(cell: Cell) -> None:
    async def roll() -> None:
        for name in NATS:
            server = cell.server(name)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await asyncio.sleep(AWAY_S / 2)  # its copies catch up before the next one goes

    await _under_calls(cell, roll)
