"""Rows 11 and 14 in full: NATS away for a minute, PostgreSQL killed; calls of stub nodes go on, and all is settled."""

import asyncio
import signal
from pathlib import Path

import pytest

from greenroom_cli.stack import Part, StackOptions, running_stack
from tests.chaos.cell import Cell, Shape

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]

OUTAGE_S = 60.0
JUDGED_S = 20.0  # longer than a new term waits before it judges any node


async def test_row_11_nats_away_for_a_minute_no_call_changes_hands_and_no_event_is_lost(cell: Cell) -> None:
    running = await cell.serving(6)
    nats = cell.server("nats")
    nats.kill9()
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
