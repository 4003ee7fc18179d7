"""Many at once: a burst of ten times MAX_BOTS (row 40), and a leader that takes over what another left behind."""

import asyncio
import time
from collections import Counter

from chassis.nats import Bus
from contracts.events import AgentReady, AgentStopped, JobAssigned, Outcome, SessionEnded, SessionQueued
from contracts.registry import Slot
from contracts.streams import SLOTS
from tests.integration.scheduler.conftest import Start
from tests.integration.scheduler.crowd import Crowd, publish_all, start_of
from tests.integration.scheduler.stack import StandInNode, ask_end, ended, events, kinds, new_id, now, request, wait_for
from tests.support.waiting import until

MAX_BOTS = 100
MAX_QUEUE = 800


async def ends(bus: Bus) -> list[SessionEnded]:
    found = bus.replay("voice.v1.session.ended.*", until_caught_up=True)
    return [record.event async for record in found if isinstance(record.event, SessionEnded)]


async def positions(bus: Bus) -> list[int]:
    found = bus.replay("voice.v1.session.queued.*", until_caught_up=True)
    return [record.event.position async for record in found if isinstance(record.event, SessionQueued)]


async def test_row_40_each_start_of_a_burst_runs_or_is_rejected_and_none_is_lost(bus: Bus, start: Start) -> None:
    scheduler = start(MAX_BOTS=str(MAX_BOTS), MAX_QUEUE=str(MAX_QUEUE), QUEUE_DEADLINE_S="8")
    await until(scheduler.leads)
    most = 0
    async with StandInNode(bus, "n1", slots=60) as first, StandInNode(bus, "n2", slots=60) as second:

        def running() -> int:
            nonlocal most
            held = len(first.jobs) + len(second.jobs)
            most = max(most, held)
            return held

        burst = [start_of(new_id(), user=f"user_{n % 40}") for n in range(10 * MAX_BOTS)]
        await publish_all(bus, burst)
        await until(lambda: running() == MAX_BOTS, within_s=20)
        await ask_end(bus, next(iter(first.jobs)))  # its slot goes to the first in the queue
        deadline = time.monotonic() + 60
        while (n := len(await bus.subjects("voice.v1.session.ended.*"))) < 9 * MAX_BOTS:
            assert time.monotonic() < deadline, f"{n} of {len(burst)} ended, {running()} run"
            await asyncio.sleep(0.2)

        running()
        over = await ends(bus)
        outcomes = Counter((end.outcome, end.reason) for end in over)
        assert outcomes.pop((Outcome.COMPLETED, "rest")) == 1
        assert set(outcomes) <= {(Outcome.REJECTED, "max_bots"), (Outcome.REJECTED, "queue_full")}
        assert sum(outcomes.values()) == 9 * MAX_BOTS - 1
        ids = [end.session_id for end in over]
        assert len(set(ids)) == len(ids)
        assert {*first.jobs, *second.jobs, *ids} == {event.session_id for event in burst}
        assert most <= MAX_BOTS
        told = await positions(bus)
        assert told
        assert all(1 <= position <= MAX_QUEUE for position in told)
        assert len(await bus.bucket(SLOTS).all()) == MAX_BOTS


async def test_a_new_leader_goes_on_with_all_that_runs_ends_and_waits(bus: Bus, start: Start) -> None:
    crowd = Crowd(70)  # more than one request asks for
    taken_over, failed, ending, running = crowd.ids[:4]
    crowd.log.append(_crash(taken_over, 1))
    crowd.assign(taken_over, 2)
    for epoch in (2, 3):
        crowd.log.append(_crash(failed, epoch - 1))
        crowd.assign(failed, epoch)
    crowd.log.append(_crash(failed, 3))
    await crowd.write(bus)
    await ask_end(bus, ending)
    waits = await request(bus)
    await asyncio.sleep(1.2)  # its queue deadline runs out while no scheduler leads

    async with StandInNode(bus, "n1", slots=100) as node:
        node.jobs = {name: crowd.job(name, 2 if name == taken_over else 1) for name in crowd.ids if name != failed}
        await node.report()
        scheduler = start(MAX_BOTS="100", QUEUE_DEADLINE_S="1", CALLER_JOIN_TIMEOUT_S="600", MAX_TAKEOVERS="1")
        await until(scheduler.leads)

        assert (await ended(bus, ending)).billable_ms > 0
        await wait_for(bus, waits, AgentReady)
        end = await ended(bus, failed)  # two deaths were read, and one take-over is allowed
        assert (end.outcome, end.reason) == (Outcome.FAILED, "agent_failed")
        await ask_end(bus, taken_over)
        assert (await ended(bus, taken_over)).epoch == 2
        await until(lambda: 'scheduler_sessions{state="active"} 68.0' in scheduler.metrics())
        assert len(await events(bus, running, JobAssigned)) == 1
        assert "ended" not in await kinds(bus, running)
        slots = (await bus.bucket(SLOTS).all()).values()
        owners = {Slot.model_validate_json(entry.data).session_id for entry in slots}
        assert owners == {*crowd.ids, waits} - {ending, failed, taken_over}


def _crash(name: str, epoch: int) -> AgentStopped:
    return AgentStopped(session_id=name, time=now(), epoch=epoch, cause="crashed", served_ms=60_000)
