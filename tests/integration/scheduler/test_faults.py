"""Crashed agents, lost nodes, killed leaders, NATS away: rows 5, 7, 8, 10 of the faults' table."""

import asyncio
import random
from pathlib import Path

import pytest

from chassis.nats import Bus
from contracts.events import AgentReady, AgentStopped, JobAssigned, Outcome, ServedTick
from contracts.registry import Slot
from contracts.streams import NODES, SLOTS
from tests.integration.scheduler.conftest import Start
from tests.integration.scheduler.stack import (
    StandInNode,
    ask_end,
    ended,
    events,
    kinds,
    now,
    request,
    slots_are_free,
    wait_for,
)
from tests.support.servers import NatsServer, Part, Scheduler
from tests.support.waiting import until


async def leading(start: Start, **environment: str) -> Scheduler:
    process = start(**environment)
    await until(process.leads, what="it never led")
    return process


async def test_a_crashed_agent_is_taken_over_and_each_epoch_billed(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start)
    session_id = await request(bus)
    await wait_for(bus, session_id, AgentReady)
    await bus.publish(ServedTick(session_id=session_id, time=now(), epoch=1, served_ms=100))
    await asyncio.sleep(0.4)
    await node.crash(session_id, served_ms=300)

    second = await wait_for(bus, session_id, JobAssigned, n=2)
    assert (second.epoch, second.node_id, second.served_ms_before) == (2, "n1", 300)
    await until(lambda: session_id in node.jobs)
    assert node.jobs[session_id].takeover
    await wait_for(bus, session_id, AgentReady, n=2)

    # The first epoch's report again, late and different: the session goes on.
    await bus.publish(AgentStopped(session_id=session_id, time=now(), epoch=1, cause="ended", served_ms=300))
    await asyncio.sleep(0.3)
    assert "ended" not in await kinds(bus, session_id)
    node.served_ms = 2_000
    await ask_end(bus, session_id)
    assert (await ended(bus, session_id)).billable_ms == 2_300


async def test_a_successor_is_granted_what_is_left(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start)
    session_id = await request(bus, limit=1)
    await wait_for(bus, session_id, AgentReady)
    assert node.jobs[session_id].granted_minutes == 1

    node.fault_ms = 1_000
    await node.crash(session_id, served_ms=4_000)

    second = await wait_for(bus, session_id, JobAssigned, n=2)
    assert (second.served_ms_before, second.billable_ms_before, second.granted_minutes) == (4_000, 3_000, 1)


async def test_an_agent_that_keeps_dying_has_failed(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, MAX_TAKEOVERS="1")
    session_id = await request(bus)
    for n in (1, 2):
        await wait_for(bus, session_id, AgentReady, n=n)
        await node.crash(session_id)
    end = await ended(bus, session_id)
    assert (end.outcome, end.reason, end.epoch) == (Outcome.FAILED, "agent_failed", 3)
    assert [(job.epoch, job.farewell) for _, job in node.asked] == [(1, False), (2, False), (3, True)]
    await slots_are_free(bus)


async def test_the_calls_of_a_node_that_was_started_anew_are_taken_over(bus: Bus, start: Start) -> None:
    """Its key never expired, so that nothing else tells of its lost jobs."""
    await leading(start, NODE_LEASE_S="0.5")
    async with StandInNode(bus, "n1") as first:
        session_id = await request(bus)
        await wait_for(bus, session_id, AgentReady)
        await asyncio.sleep(0.6)
        await first.vanish(expire=False)
        async with StandInNode(bus, "n1") as anew:
            second = await wait_for(bus, session_id, JobAssigned, n=2, timeout_s=5)
            assert second.node_id == "n1"
            await until(lambda: session_id in anew.jobs)


async def test_a_lost_nodes_calls_move_to_another_node(bus: Bus, start: Start) -> None:
    await leading(start, NODE_LEASE_S="0.5")
    lost = StandInNode(bus, "lost")
    async with lost, StandInNode(bus, "other") as other:
        other.load = 0.5
        await other.report()
        session_id = await request(bus)
        await wait_for(bus, session_id, AgentReady)
        assert session_id in lost.jobs
        await asyncio.sleep(0.6)
        await lost.vanish()
        await until(lambda: session_id in other.jobs, within_s=3)
        assert other.jobs[session_id].epoch == 2
        assert other.jobs[session_id].takeover


async def test_a_node_without_a_key_that_answers_keeps_its_calls(
    bus: Bus, start: Start, nats_server: NatsServer, tmp_path: Path
) -> None:
    scheduler = await leading(start, NODE_LEASE_S="0.5")
    # The node is another process: beside a busy test it might answer later than the scheduler waits.
    variables = {"NATS_URL": nats_server.url, "NODE_ID": "n1", "NODE_SLOTS": "4"}
    with Part("tests.chaos.stub_node", variables, tmp_path / "n1.log"):
        await until(lambda: bus.bucket(NODES).get("n1"))
        async with StandInNode(bus, "n2") as other:
            other.load = 0.5
            await other.report()
            session_id = await request(bus)
            assert (await wait_for(bus, session_id, AgentReady)).node_id == "n1"
            await asyncio.sleep(0.6)

            while 'scheduler_node_looks_total{result="answered"}' not in (metrics := scheduler.metrics()):
                assert "scheduler_nodes_lost_total 0.0" in metrics
                await bus.bucket(NODES).delete("n1")  # the node puts it again each second
                await asyncio.sleep(0.2)

            await asyncio.sleep(0.5)
            assert "scheduler_nodes_lost_total 0.0" in scheduler.metrics()
            assert len(await events(bus, session_id, JobAssigned)) == 1


async def test_a_new_leader_judges_no_node_before_its_lease_is_over(bus: Bus, start: Start) -> None:
    first = await leading(start, NODE_LEASE_S="0.5", LEADER_LEASE_S="1")
    lost = StandInNode(bus, "lost")
    async with lost, StandInNode(bus, "other") as other:
        other.load = 0.5
        await other.report()
        session_id = await request(bus)
        await wait_for(bus, session_id, AgentReady)
        first.kill9()
        await lost.vanish()
        await leading(start, NODE_LEASE_S="3")
        await asyncio.sleep(1.5)
        assert len(await events(bus, session_id, JobAssigned)) == 1
        await until(lambda: session_id in other.jobs, within_s=5)


async def test_a_stand_by_goes_on_where_the_killed_leader_was(bus: Bus, start: Start, node: StandInNode) -> None:
    first = await leading(start, LEADER_LEASE_S="3")  # the other does not get it while both live
    second = start()
    running, ending = await request(bus), await request(bus)
    for session_id in (running, ending):
        await wait_for(bus, session_id, AgentReady)
    assert not second.leads()

    first.kill9()
    await ask_end(bus, ending)
    waiting = await request(bus)

    assert (await ended(bus, ending)).outcome is Outcome.COMPLETED
    await wait_for(bus, waiting, AgentReady)
    assert second.leads()
    assert [len(await events(bus, s, JobAssigned)) for s in (running, ending, waiting)] == [1, 1, 1]
    owners = {Slot.model_validate_json(e.data).session_id for e in (await bus.bucket(SLOTS).all()).values()}
    assert owners == {running, waiting}


@pytest.mark.parametrize("seed", range(4))
async def test_a_leader_killed_at_any_moment_of_a_start_leaves_one_agent(
    bus: Bus, start: Start, node: StandInNode, seed: int
) -> None:
    first = await leading(start, LEADER_LEASE_S="1")
    start()
    session_id = await request(bus)
    await asyncio.sleep(random.Random(seed).uniform(0, 0.008))
    first.kill9()
    await wait_for(bus, session_id, AgentReady)
    await asyncio.sleep(0.5)
    assert len(await events(bus, session_id, JobAssigned)) == 1
    assert len(node.jobs) == 1
    assert len(await bus.bucket(SLOTS).all()) == 1
    await ask_end(bus, session_id)
    assert (await ended(bus, session_id)).epoch == 1


async def test_a_frozen_leader_that_wakes_up_changes_nothing(bus: Bus, start: Start, node: StandInNode) -> None:
    frozen = await leading(start, LEADER_LEASE_S="1")
    start()
    frozen.freeze()
    session_id = await request(bus)
    await wait_for(bus, session_id, AgentReady)
    frozen.thaw()
    await asyncio.sleep(1)
    assert len(await events(bus, session_id, JobAssigned)) == 1
    await ask_end(bus, session_id)
    await ended(bus, session_id)
    assert (await kinds(bus, session_id)).count("ended") == 1


async def test_what_is_accepted_while_the_only_scheduler_stands_still_comes_to_an_agent(
    bus: Bus, start: Start, node: StandInNode
) -> None:
    process = await leading(start, LEADER_LEASE_S="2")
    for frozen_s in (1.4, 1.8, 2.2):  # within the lease, at its edge, beyond it
        process.freeze()
        session_id = await request(bus)
        await asyncio.sleep(frozen_s)
        process.thaw()
        await wait_for(bus, session_id, AgentReady)
        await ask_end(bus, session_id)
        await ended(bus, session_id)
    commands = [job.term for _, job in node.asked]
    assert all(commands)
    assert commands == sorted(commands)


async def test_nats_killed_and_back_loses_no_accepted_session(
    bus: Bus, start: Start, node: StandInNode, nats_server: NatsServer
) -> None:
    await leading(start)
    running = await request(bus)
    await wait_for(bus, running, AgentReady)
    accepted = await request(bus)
    nats_server.restart()
    await until(lambda: bus.is_connected)
    later = await request(bus)
    for session_id in (running, accepted, later):
        await wait_for(bus, session_id, AgentReady)
        await ask_end(bus, session_id)
    for session_id in (running, accepted, later):
        end = await ended(bus, session_id)
        assert (end.outcome, end.epoch) == (Outcome.COMPLETED, 1)


async def test_a_stale_slot_is_freed(bus: Bus, start: Start) -> None:
    slots = bus.bucket(SLOTS)
    old = Slot(session_id="session_never_requested", taken_at=now().replace(year=2020))
    await slots.create("0", old.model_dump_json().encode())
    await leading(start, RECONCILE_S="0.5")
    for _ in range(100):
        if not await slots.all():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(await slots.all())
