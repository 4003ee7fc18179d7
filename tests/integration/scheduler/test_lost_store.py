"""NATS comes back with an empty store: row 41, with stand-in nodes."""

import asyncio
import time

import httpx

from chassis.nats import Bus, BusUnavailable
from contracts.commands import CommandFailed, DescribeJob, JobDescribed
from contracts.events import (
    AgentReady,
    Event,
    JobAssigned,
    SessionEnded,
    SessionQueued,
    SessionRequested,
    SessionStarted,
    TimeLost,
)
from contracts.metering import LogRecord, meter
from scheduler.adapters.livekit_rooms import LiveKitRooms
from tests.chaos.network import Cable
from tests.integration.scheduler.conftest import Start, leading
from tests.integration.scheduler.stack import (
    StandInNode,
    ask_end,
    ended,
    events,
    kinds,
    new_id,
    request,
    slots_are_free,
    wait_for,
)
from tests.support.servers import LiveKitServer, NatsServer, Scheduler
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
    process = start(RECONCILE_S="0.5", NODE_LEASE_S="2", LEADER_LEASE_S="20")  # it leads on, also on a busy machine
    await until(process.leads, what="it never led")
    async with StandInNode(bus, "n1", slots=1) as node:
        running = await request(bus)
        await wait_for(bus, running, AgentReady)
        waiting = await request(bus)
        await wait_for(bus, waiting, SessionQueued)  # the leader knows it
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


async def test_a_call_that_another_scheduler_ended_unseen_does_not_rise_again(
    bus: Bus, start: Start, nats_server: NatsServer, livekit: LiveKitServer, rooms: LiveKitRooms
) -> None:
    async with Cable("127.0.0.1", nats_server.port) as cable, StandInNode(bus, "n1") as node:
        settings = {"NODE_LEASE_S": "2", "LEADER_LEASE_S": "2", "DEPLOYMENT_NAME": "here"}
        apart = {**settings, "RECONCILE_S": "0.5", "NATS_URL": f"nats://127.0.0.1:{cable.port}"}
        first = await asyncio.to_thread(start, livekit.url, **apart)  # in a thread: this one carries the cable's bytes
        await until(first.leads, what="it never led")
        over, open_still = new_id(), new_id()
        for session_id in (over, open_still):
            await rooms.create(session_id)
            await wait_for(bus, await request(bus, session_id), SessionStarted)
        await asyncio.sleep(0.3)

        cable.pull()
        second = await leading(start, livekit, **settings)
        await ask_end(bus, over)
        await ended(bus, over)
        while over in {room.name for room in await rooms.list()}:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        second.kill9()
        await lose_store(nats_server, bus)
        cable.plug_in()
        await until(lambda: is_ready(first) and first.leads(), within_s=30, what="the first does not lead again")
        await node.report()
        await wait_for(bus, open_still, SessionRequested, timeout_s=15)
        await asyncio.sleep(1)

        assert await kinds(bus, over) == []
        assert {room.name for room in await rooms.list()} == {open_still}


async def test_what_the_agents_before_a_takeover_served_is_billed_or_named(
    bus: Bus, start: Start, nats_server: NatsServer
) -> None:
    """First by the leader that measured it; then the store and the leader are lost, and only the node knows."""
    process = start(RECONCILE_S="0.5", NODE_LEASE_S="1")
    await until(process.leads, what="it never led")
    async with StandInNode(bus, "n1") as first, StandInNode(bus, "n2") as second:
        session_id = await request(bus)
        await wait_for(bus, session_id, SessionStarted)
        await asyncio.sleep(0.5)
        holder, successor = (first, second) if session_id in first.jobs else (second, first)
        await holder.crash(session_id, served_ms=500)
        await wait_for(bus, session_id, AgentReady, n=2)
        await asyncio.sleep(0.3)

        await lose_store(nats_server, bus)
        await wait_for(bus, session_id, SessionRequested, timeout_s=15)
        assert session_id in successor.jobs
        assert [e.epoch for e in await events(bus, session_id, JobAssigned)] == [1, 2]
        assert await events(bus, session_id, TimeLost) == []
        log = [LogRecord(s.event, s.stored_ms) for s in await bus.history(session_id) if isinstance(s.event, Event)]
        assert meter(log).billable_ms == 500, "of the first agent"

        process.kill9()
        await lose_store(nats_server, bus)
        process.start()
        await wait_for(bus, session_id, SessionRequested, timeout_s=30)
        assert [(e.epoch, e.billable_ms) for e in await events(bus, session_id, TimeLost)] == [(2, 500)]
        assert [e.epoch for e in await events(bus, session_id, JobAssigned)] == [2]


class Slow(StandInNode):
    """A node that takes its time to describe a job: meanwhile the leader restores no call behind it."""

    async def _describe(self, command: DescribeJob) -> JobDescribed | CommandFailed:
        await asyncio.sleep(5)
        return await super()._describe(command)


async def _end_at_once(bus: Bus, session_id: str) -> None:
    """Ask for the end as soon as there is a log again."""
    while True:
        try:
            return await ask_end(bus, session_id)
        except BusUnavailable:
            await asyncio.sleep(0.01)


async def test_calls_that_end_before_the_loss_is_noticed_are_billed_by_what_the_leader_knows(
    bus: Bus, start: Start, nats_server: NatsServer
) -> None:
    process = start(RECONCILE_S="600", NODE_LEASE_S="2", LEADER_LEASE_S="20")
    await until(process.leads, what="it never led")
    async with Slow(bus, "slow", slots=1):
        await wait_for(bus, await request(bus), SessionStarted)
        async with StandInNode(bus, "n1") as node:
            await _end_in_the_first_second(bus, node, nats_server)


async def _end_in_the_first_second(bus: Bus, node: StandInNode, nats_server: NatsServer) -> None:
    calls = [await request(bus) for _ in range(4)]
    for session_id in calls:
        await wait_for(bus, session_id, SessionStarted)
    queued = await request(bus)
    await wait_for(bus, queued, SessionQueued)  # the leader knows it
    await asyncio.sleep(0.3)

    await lose_store(nats_server, bus)
    await asyncio.gather(*(_end_at_once(bus, session_id) for session_id in (queued, *calls)))

    for session_id in calls:
        over = await ended(bus, session_id)
        log = [LogRecord(s.event, s.stored_ms) for s in await bus.history(session_id) if isinstance(s.event, Event)]
        before = [r for r in log if not isinstance(r.event, SessionEnded)]
        assert over.billable_ms == meter(before).billable_ms == node.served_ms, [r.event.event for r in log]
        assert any(isinstance(r.event, SessionRequested) for r in log)
    assert (await ended(bus, queued)).epoch == 0
    await wait_for(bus, queued, SessionRequested)
