"""Each time limit of a session, shortened, on a real NATS."""

import asyncio
import time
from uuid import uuid4

from chassis.nats import Bus
from contracts.deadlines import END_REPLY_S
from contracts.events import AgentReady, JobAssigned, Outcome, ServedTick, SessionQueued
from contracts.ids import caller_identity
from contracts.room_events import RoomEvent
from contracts.streams import SLOTS
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
from tests.support.waiting import until


async def room_event(bus: Bus, session_id: str, event: str, sid: str) -> None:
    """A LiveKit webhook about the caller, as the gateway publishes it."""
    await bus.publish(
        RoomEvent(
            id=uuid4().hex,
            event=event,
            session_id=session_id,
            time=now(),
            participant_identity=caller_identity(session_id),
            participant_sid=sid,
        )
    )


async def leading(start: Start, **environment: str) -> None:
    process = start(**environment)
    await until(process.leads, what="it never led")


async def test_without_a_node_a_start_queues_and_is_rejected_with_the_reason(bus: Bus, start: Start) -> None:
    await leading(start, QUEUE_DEADLINE_S="1")
    session_id = await request(bus)
    queued = await wait_for(bus, session_id, SessionQueued)
    end = await ended(bus, session_id)
    assert queued.position == 1
    assert (end.outcome, end.reason, end.epoch, end.billable_ms) == (Outcome.REJECTED, "no_nodes", 0, 0)
    assert -0.1 < (end.time - queued.deadline_at).total_seconds() < 3


async def test_a_queued_start_is_placed_when_a_node_comes(bus: Bus, start: Start) -> None:
    await leading(start)
    session_id = await request(bus)
    await wait_for(bus, session_id, SessionQueued)
    async with StandInNode(bus, "late"):
        await wait_for(bus, session_id, AgentReady, timeout_s=2)


async def test_a_queued_start_can_be_ended(bus: Bus, start: Start) -> None:
    await leading(start)
    session_id = await request(bus)
    await wait_for(bus, session_id, SessionQueued)
    await ask_end(bus, session_id)
    end = await ended(bus, session_id, timeout_s=2)
    assert (end.outcome, end.epoch, end.billable_ms) == (Outcome.COMPLETED, 0, 0)


async def test_an_end_while_the_agent_starts_cancels_it(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start)
    node.never_ready = True
    session_id = await request(bus)
    await until(lambda: session_id in node.jobs)
    await ask_end(bus, session_id)
    end = await ended(bus, session_id, timeout_s=2)
    assert (end.outcome, end.epoch, end.billable_ms) == (Outcome.COMPLETED, 1, 0)
    assert node.jobs == {}


async def test_an_agent_that_does_not_come_is_tried_on_another_node_and_withdrawn(
    bus: Bus, start: Start, node: StandInNode
) -> None:
    await leading(start, ATTEMPT_TIMEOUT_S="0.5")
    node.never_ready = True
    async with StandInNode(bus, "n2") as other:
        other.load = 0.5
        await other.report()
        session_id = await request(bus)
        ready = await wait_for(bus, session_id, AgentReady)
        assert (ready.epoch, ready.node_id) == (2, "n2")
        await until(lambda: [(e.epoch, e.reason) for e in node.ended] == [(1, "superseded")])


async def test_a_start_that_never_succeeds_fails_in_time(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, ATTEMPT_TIMEOUT_S="0.5", BOT_STARTUP_TIMEOUT="2")
    node.never_ready = True
    began = time.monotonic()
    session_id = await request(bus)
    end = await ended(bus, session_id)
    assert (end.outcome, end.reason, end.billable_ms) == (Outcome.FAILED, "start_timeout", 0)
    # Two seconds; but a leader that has just begun grants 5 s to reports that an outage may have held back.
    assert 1.9 < time.monotonic() - began < 7
    await until(lambda: not node.jobs)
    assert end.epoch >= 2
    await slots_are_free(bus)


async def test_a_silent_nodes_last_tick_counts_and_the_end_is_in_time(
    bus: Bus, start: Start, node: StandInNode
) -> None:
    await leading(start)
    session_id = await request(bus)
    await wait_for(bus, session_id, AgentReady)
    for served_ms in (2_000, 4_000, 2_000):
        await bus.publish(ServedTick(session_id=session_id, time=now(), epoch=1, served_ms=served_ms))
    node.silent = True
    began = time.monotonic()
    await ask_end(bus, session_id)
    end = await ended(bus, session_id)
    assert end.billable_ms == 4_000
    assert time.monotonic() - began < 2 * END_REPLY_S


async def test_the_time_in_which_a_provider_failed_is_not_billed(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start)
    node.fault_ms = 1_500
    session_id = await request(bus)
    await wait_for(bus, session_id, AgentReady)
    await ask_end(bus, session_id)
    assert (await ended(bus, session_id)).billable_ms == node.served_ms - 1_500


async def test_a_caller_who_never_comes_is_a_no_show(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, CALLER_JOIN_TIMEOUT_S="1")
    node.starts_calls = False
    node.served_ms = 0
    session_id = await request(bus)
    end = await ended(bus, session_id, timeout_s=12)
    assert (end.outcome, end.reason, end.billable_ms) == (Outcome.NO_SHOW, "caller_never_joined", 0)
    assert node.jobs == {}


async def test_a_caller_who_left_for_good_ends_the_session_and_one_who_came_back_does_not(
    bus: Bus, start: Start, node: StandInNode
) -> None:
    await leading(start, RECONNECT_GRACE_S="1")
    stays, leaves = await request(bus), await request(bus)
    for session_id in (stays, leaves):
        await wait_for(bus, session_id, AgentReady)
    await room_event(bus, stays, "participant_joined", "PA_1")
    await room_event(bus, stays, "participant_left", "PA_1")
    await room_event(bus, stays, "participant_joined", "PA_2")
    await room_event(bus, stays, "participant_left", "PA_1")  # the old stay, reported late
    await room_event(bus, leaves, "participant_joined", "PA_1")
    await room_event(bus, leaves, "participant_left", "PA_1")

    end = await ended(bus, leaves, timeout_s=5)
    assert (end.outcome, end.reason) == (Outcome.COMPLETED, "caller_left")
    await asyncio.sleep(1)
    assert "ended" not in await kinds(bus, stays)


async def test_no_session_outlives_its_timeout(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, SESSION_TIMEOUT="1000", SESSION_TIMEOUT_GOODBYE="none")
    session_id = await request(bus)
    end = await ended(bus, session_id)
    assert (end.outcome, end.reason, end.billable_ms) == (Outcome.COMPLETED, "session_timeout", node.served_ms)
    assert [command.say for command in node.ended] == [None]


async def test_a_last_sentence_at_the_timeout_is_waited_for(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, SESSION_TIMEOUT="1000", SESSION_TIMEOUT_GOODBYE="Time is up.")
    node.speaks_s = 3.5  # an end without words is waited for 2.2 s
    session_id = await request(bus)
    end = await ended(bus, session_id)
    assert (end.reason, end.billable_ms) == ("session_timeout", node.served_ms)
    assert [command.say for command in node.ended] == ["Time is up."]


async def test_an_end_by_rest_cuts_the_last_sentence(bus: Bus, start: Start, node: StandInNode) -> None:
    await leading(start, SESSION_TIMEOUT="1000", SESSION_TIMEOUT_GOODBYE="Time is up.")
    node.speaks_s = 5
    session_id = await request(bus)
    await until(lambda: node.ended)
    began = time.monotonic()
    await ask_end(bus, session_id)
    end = await ended(bus, session_id, timeout_s=5)
    assert (end.reason, end.billable_ms) == ("session_timeout", node.served_ms)
    assert [command.say for command in node.ended] == ["Time is up.", None]
    assert time.monotonic() - began < node.speaks_s - 0.5


async def test_a_burst_never_exceeds_max_bots_and_everybody_gets_an_end(
    bus: Bus, start: Start, node: StandInNode
) -> None:
    await leading(start, MAX_BOTS="3", MAX_QUEUE="20", QUEUE_DEADLINE_S="5")
    node.slots = 50
    await node.report()
    sessions = [await request(bus, user=f"user{n % 3}") for n in range(30)]
    most = 0
    # Two who run are ended, so that two who wait get their turn.
    first = [s for s in sessions if s in node.jobs]
    await until(lambda: len(node.jobs) == 3)
    first = list(node.jobs)[:2]
    for session_id in first:
        await ask_end(bus, session_id)
    finish = time.monotonic() + 3
    while time.monotonic() < finish:
        most = max(most, len(node.jobs))
        assert len(await bus.bucket(SLOTS).all()) <= 3
        await asyncio.sleep(0.02)
    assert most == 3
    outcomes: dict[str, list[str]] = {}
    for session_id in sessions:
        if session_id not in node.jobs:
            end = await ended(bus, session_id)
            outcomes.setdefault(f"{end.outcome.value} {end.reason}", []).append(session_id)
    assert {reason: len(who) for reason, who in outcomes.items()} == {
        "completed rest": 2,
        "rejected queue_full": 7,
        "rejected max_bots": 18,
    }
    for session_id in outcomes["rejected max_bots"]:
        assert len(await events(bus, session_id, SessionQueued)) == 1
    started = [s for s in sessions if await events(bus, s, JobAssigned)]
    assert len(started) == 5
