"""NATS comes back with an empty store: row 41, with stand-in nodes."""

import asyncio
import time

import httpx

from chassis.nats import Bus
from contracts.events import AgentReady, JobAssigned, SessionRequested
from tests.integration.scheduler.conftest import Start
from tests.integration.scheduler.stack import StandInNode, ask_end, ended, events, request, slots_are_free, wait_for
from tests.support.servers import NatsServer, Scheduler
from tests.support.waiting import until

BACK_S = 5.0  # from the reconnect until every service has made its streams again, or says that it cannot


async def lose_store(nats_server: NatsServer, bus: Bus) -> None:
    nats_server.kill9()
    nats_server.lose_store()
    nats_server.start()
    await until(lambda: bus.is_connected, what="the test itself is not connected again")


def is_ready(process: Scheduler) -> bool:
    return httpx.get(f"{process.url}/ready", timeout=2, trust_env=False).status_code == 200


async def test_calls_and_waiting_starts_outlive_the_store(bus: Bus, start: Start, nats_server: NatsServer) -> None:
    process = start(RECONCILE_S="0.5", NODE_LEASE_S="2")
    await until(process.leads, what="it never led")
    async with StandInNode(bus, "n1", slots=1) as node:
        running = await request(bus)
        await wait_for(bus, running, AgentReady)
        waiting = await request(bus)
        await asyncio.sleep(0.3)

        await lose_store(nats_server, bus)
        began = time.monotonic()
        await until(lambda: is_ready(process), within_s=BACK_S, what="it is not ready again")
        await node.report()
        await wait_for(bus, running, SessionRequested, timeout_s=15)
        restored_s = time.monotonic() - began
        await wait_for(bus, waiting, SessionRequested)
        later = await request(bus)

        assert {job.epoch for _, job in node.asked if job.session_id == running} == {1}, "its agent is the same"
        assert not node.ended
        assert restored_s < 15
        await ask_end(bus, running)
        assert (await ended(bus, running)).billable_ms == node.served_ms, "it is billed by what its node knows"
        await wait_for(bus, waiting, JobAssigned)
        await ask_end(bus, waiting)
        await wait_for(bus, later, AgentReady)
        await ask_end(bus, later)
        assert [e.epoch for e in await events(bus, running, JobAssigned)] == [1]
        await slots_are_free(bus)
