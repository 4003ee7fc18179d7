"""Billing behind a pooler in transaction mode: migration, settlements and many readers at once."""

import asyncio
from pathlib import Path

import httpx

from chassis.nats import Bus
from contracts.subjects import session_event
from tests.integration.billing.service import Billing
from tests.integration.gateway.playing import publish
from tests.support.billing.logs import conversation
from tests.support.pooler import pooled
from tests.support.waiting import until

SESSIONS = 4
READS = 40
AT_ONCE = 8  # fewer than billing's own connections: none has to wait for one on a busy machine


async def test_bills_are_written_and_read_at_once_over_two_server_connections(
    tmp_path: Path, postgres_url: str, nats_url: str, bus: Bus
) -> None:
    ids = [f"session_{n}" for n in range(SESSIONS)]
    async with pooled(postgres_url, size=2) as url:
        with Billing(tmp_path, database_url=url, nats_url=nats_url) as billing:
            await asyncio.to_thread(billing.migrate)
            await billing.start()
            for session_id in ids:
                await publish(bus, *conversation(4_000, session_id))
            for session_id in ids:

                async def is_billed(session_id: str = session_id) -> bool:
                    return await bus.last(session_event("billed", session_id)) is not None

                await until(is_billed)

            turns = asyncio.Semaphore(AT_ONCE)

            async def read(path: str) -> httpx.Response:
                async with turns:
                    return await billing.get(path)

            paths = [f"/billing/sessions/{ids[n % SESSIONS]}" for n in range(READS)]
            answers = await asyncio.gather(*map(read, (*paths, "/billing/users/ada", "/ready")))

            assert [answer.status_code for answer in answers] == [200] * len(answers), billing.log[-4000:]
            assert {answer.json()["minutes"] for answer in answers[:READS]} == {1}
            assert not [event for event in billing.events if event["level"] == "error"]
