"""Rows 11, 14, 41 with stub nodes: NATS away for a minute or without its store, PostgreSQL killed; all is settled."""

import asyncio
import signal
from pathlib import Path

import pytest

from contracts.events import AgentStopped
from greenroom_cli.stack import Part, StackOptions, running_stack
from tests.chaos.cell import Cell, Shape
from tests.support.waiting import until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

OUTAGE_S = 60.0
SERVED_S = 6.0  # more than a bill allows without the call's age
JUDGED_S = 20.0  # longer than a new term waits before it judges any node


async def has_noticed(cell: Cell) -> bool:
    return (await cell.http.get(f"{cell.gateway()}/ready")).status_code == 503


async def test_row_11_nats_away_for_a_minute_no_call_changes_hands_and_no_event_is_lost(cell: Cell) -> None:
    running = await cell.serving(6)
    nats = cell.server("nats")
    nats.kill9()
    # A start of the moment before may have made its room, which is left to LiveKit while the log is a minute young.
    await until(lambda: has_noticed(cell), 10, "the gateway is not ready without NATS")
    refused = await cell.http.post(f"{cell.gateway()}/orchestrator/session/start", json={"userName": "Ann"})
    await asyncio.sleep(OUTAGE_S)
    await asyncio.to_thread(nats.start)
    later = await cell.serving(2)
    await asyncio.sleep(JUDGED_S)

    assert (refused.status_code, "Retry-After" in refused.headers) == (503, True), refused.text
    for session_id in (*running, *later):
        assert await cell.count("assigned", session_id) == 1, session_id
    for session_id in running:  # a tick each 2 s, those of the outage too
        assert await cell.count("tick", session_id) > OUTAGE_S / 2
    await cell.check()


async def test_row_41_calls_that_end_as_soon_as_nats_is_back_without_its_store_are_billed(cell: Cell) -> None:
    calls = await cell.serving(10)
    nats = cell.nats[0]
    await asyncio.sleep(SERVED_S)
    nats.kill9()
    nats.lose_store()
    cell.accepted.clear()
    cell.accepted.update(calls)  # what ended before is lost with the store; its bills are not
    await asyncio.to_thread(nats.start)

    await asyncio.gather(*(cell.end(session_id) for session_id in calls[:5]))
    calls += await cell.serving(2)
    await asyncio.sleep(JUDGED_S)
    await asyncio.gather(*(cell.end(session_id) for session_id in calls[5:]))

    billed_ms = [await cell.billed_ms(session_id) for session_id in calls]
    for session_id, billed in zip(calls, billed_ms, strict=True):
        assert await cell.count("assigned", session_id) == 1, session_id
        history = await cell.bus.history(session_id)
        (served_ms,) = {s.event.served_ms for s in history if isinstance(s.event, AgentStopped)}
        assert billed == served_ms, cell.logs()
    assert min(billed_ms[:10]) >= SERVED_S * 1000


async def test_row_14_postgresql_killed_amid_ends_settles_later_and_once(tmp_path: Path) -> None:
    async with running_stack(tmp_path / "sql", StackOptions(parts={Part.POSTGRES})) as sql:
        shape = Shape(nodes=1, schedulers=1, database=sql.environment["DATABASE_URL"])
        async with Cell.opened(tmp_path / "cell", shape) as cell:
            postgres = sql.processes[Part.POSTGRES]
            sessions = await cell.serving(6)
            ends = [asyncio.create_task(cell.end(session_id)) for session_id in sessions[:4]]
            await asyncio.sleep(0.1)
            postgres.signal(signal.SIGKILL)
            await postgres.wait()
            await asyncio.gather(*ends)
            await cell.end(sessions[4])
            started = await cell.serving(1)
            await postgres.start()
            for session_id in sessions[:5]:
                await cell.until("billed", session_id, within_s=60)
            await asyncio.gather(*(cell.end(session_id) for session_id in (*sessions[5:], *started)))
            await cell.check()
