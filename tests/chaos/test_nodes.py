"""Rows 3 (a node), 5, 6, 11, 27, 38: a node freezes, dies, loses NATS, is of no use, is drained; others take over."""

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from contracts import streams
from contracts.commands import DRAIN, DrainNode, NodeDraining
from contracts.events import AgentStopped, JobAssigned, Outcome
from tests.chaos.invariants import Served, check
from tests.chaos.network import Cable
from tests.chaos.participant import Participant
from tests.chaos.scene import Scene
from tests.chaos.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

NODES = 2
STARTUP_S = 12.0
ENVIRONMENT = {"BOT_STARTUP_TIMEOUT": f"{STARTUP_S:g}", "ATTEMPT_TIMEOUT_S": "3"}
LEASE_S = float(streams.NODES.key_ttl_s or 0)
COUNTED_S = LEASE_S + 1
HEARD_AGAIN_S = 5.0  # the goal of a take-over is under 1 s on a host that does nothing else
FROZEN_S = 40.0
OUTAGE_S = 20.0  # every node's lease has run out by then
JUDGED_S = LEASE_S + 5  # a scheduler gives the nodes one lease to come back


async def test_row_3_a_node_that_was_frozen_for_40_s_stays_silent_when_it_wakes(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        node, first_pid = scene.node(session.node), session.pid
        frozen_at = time.monotonic()
        node.signal(signal.SIGSTOP, whole_session=True)

        assigned = await session.event(JobAssigned, COUNTED_S + 1, epoch=2)
        taken_at = time.monotonic()
        await caller.heard(after=frozen_at + 1, deadline_s=HEARD_AGAIN_S)
        await session.ready(2, 5)
        await asyncio.sleep(frozen_at + FROZEN_S - time.monotonic())
        node.signal(signal.SIGCONT, whole_session=True)
        await session.stopped(1, 10)
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=2)
        left = await caller.leave()
        await session.end()

        assert assigned.node_id != node.spec.name, session.evidence()
        assert taken_at - frozen_at < COUNTED_S + 1, session.evidence()
        assert session.epoch == 2, session.evidence()
        assert session.pid != first_pid
        served = Served(caller.served_s(left.at, frozen_at), lost_nodes=1)
        await check(scene, session, caller, served=served)


async def test_row_5_each_call_of_a_lost_node_goes_on_on_another(scene: Scene) -> None:
    lost, other = scene.nodes
    await scene.node(other).stop()  # so that both calls come to one node
    async with scene.call("Anna") as (first, anna), scene.call("Peter") as (second, peter):
        assert (first.node, second.node) == (lost, lost)
        await scene.node(other).start()
        killed_at = time.monotonic()
        scene.node(lost).signal(signal.SIGKILL, whole_session=True)

        for session, caller in ((first, anna), (second, peter)):
            await caller.heard(after=killed_at + 1, deadline_s=COUNTED_S + HEARD_AGAIN_S)
            await session.ready(2, 1)
        heard_s = time.monotonic() - killed_at
        alive = set(await scene.registry())
        await anna.say(await scene.speech("What time is it?"))
        await first.answered(20, epoch=2)
        lefts = await asyncio.gather(anna.leave(), peter.leave())
        await asyncio.gather(first.end(), second.end())

        assert heard_s < COUNTED_S + HEARD_AGAIN_S, first.evidence()
        assert alive == {other}
        for session, caller, left in ((first, anna, lefts[0]), (second, peter, lefts[1])):
            served = Served(caller.served_s(left.at, killed_at), lost_nodes=1)
            await check(scene, session, caller, served=served)


async def test_row_6_a_node_without_nats_serves_on_until_another_takes_over(scene: Scene) -> None:
    cut, other = scene.nodes
    node = scene.node(cut)
    whole = node.spec
    nats = urlsplit(whole.environment["NATS_URL"])
    assert nats.hostname is not None
    assert nats.port is not None
    async with Cable(nats.hostname, nats.port) as cable:
        url = f"nats://{nats.username}:{nats.password}@127.0.0.1:{cable.port}"
        try:
            await scene.node(other).stop()
            await node.stop()
            node.spec = replace(whole, environment={**whole.environment, "NATS_URL": url})
            await node.start()
            async with scene.call() as (session, caller):
                assert session.node == cut
                await scene.node(other).start()
                cable.pull()
                cut_at = time.monotonic()
                await caller.say(await scene.speech("What time is it?"))
                await caller.answered(after=cut_at + 1, deadline_s=10)  # it serves on
                await session.ready(2, COUNTED_S + 5)
                await caller.heard(after=time.monotonic(), deadline_s=HEARD_AGAIN_S)  # by the other
                await asyncio.sleep(2)
                cable.plug_in()
                stopped = await session.stopped(1, 20)  # what it had to say is in the log in the end
                await caller.say(await scene.speech("What time is it?"))
                await session.answered(20, epoch=2)
                left = await caller.leave()
                await session.end()

                assert session.epoch == 2, session.evidence()
                assert stopped.cause in ("superseded", "removed"), session.evidence()
                await check(scene, session, caller, served=Served(caller.served_s(left.at)))
        finally:
            cable.plug_in()
            await node.stop()
            node.spec = whole


@pytest.mark.timeout(240)
async def test_row_11_after_an_outage_of_nats_longer_than_the_lease_no_call_changes_hands(scene: Scene) -> None:
    nats = scene.stack.processes["nats"]
    busy, other = scene.nodes
    await scene.node(other).stop()  # so that both calls come to one node
    async with scene.call("Anna") as (first, anna), scene.call("Peter") as (second, peter):
        assert (first.node, second.node) == (busy, busy)
        await scene.node(other).start()
        nats.signal(signal.SIGKILL)
        await nats.wait()
        await asyncio.sleep(OUTAGE_S)
        await nats.start()
        await asyncio.sleep(JUDGED_S)

        calls = ((first, anna), (second, peter))
        for session, caller in calls:
            asked = await caller.say(await scene.speech("What time is it?"))
            await caller.answered(after=asked.at, deadline_s=20)
            await session.answered(5, epoch=1)
        alive = set(await scene.registry())
        lefts = await asyncio.gather(anna.leave(), peter.leave())
        await asyncio.gather(first.end(), second.end())

        assert alive == {busy, other}
        for (session, caller), left in zip(calls, lefts, strict=True):
            assert [event.epoch for event in session.events(JobAssigned)] == [1], session.evidence()
            await check(scene, session, caller, served=Served(caller.served_s(left.at)))


async def test_row_27_a_node_that_does_not_bring_its_agent_is_left_for_another(scene: Scene) -> None:
    bad = scene.nodes[0]
    calls: list[tuple[Session, Participant]] = []
    async with AsyncExitStack() as callers:
        scene.node(bad).signal(signal.SIGSTOP, whole_session=True)
        # Each node has two warm workers: of four starts at once the frozen node is asked for at least one.
        sessions = await asyncio.gather(*(scene.start(user) for user in ("Anna", "Peter", "Maria", "Paul")))
        for session in sessions:
            calls.append((session, await callers.enter_async_context(scene.participant())))
        for session, caller in calls:
            await caller.join(session.url, session.token)
        for _, caller in calls:
            await caller.heard(deadline_s=STARTUP_S)
        lefts = [await caller.leave() for _, caller in calls]
        scene.node(bad).signal(signal.SIGCONT, whole_session=True)
        await asyncio.gather(*(session.end() for session, _ in calls))

        first_nodes = [session.events(JobAssigned, epoch=1)[0].node_id for session, _ in calls]
        assert bad in first_nodes, f"the frozen node was not asked at all: {first_nodes}"
        assert all(session.node != bad for session, _ in calls), [s.evidence() for s, _ in calls]
        for (session, caller), left in zip(calls, lefts, strict=True):
            await check(scene, session, caller, served=Served(caller.served_s(left.at)))


async def test_row_27_with_no_node_that_works_the_start_fails_in_time_and_says_why(scene: Scene) -> None:
    for name in scene.nodes:
        scene.node(name).signal(signal.SIGSTOP, whole_session=True)
    session = await scene.start()
    ended = await session.ended(STARTUP_S + 5)
    failed_s = time.monotonic() - session.started_at
    for name in scene.nodes:
        scene.node(name).signal(signal.SIGCONT, whole_session=True)

    # By then the frozen nodes' leases have run out, so that there is none to be tried any longer.
    assert (ended.outcome, ended.reason) in {(Outcome.FAILED, "start_timeout"), (Outcome.FAILED, "no_nodes")}, (
        session.evidence()
    )
    assert failed_s < STARTUP_S + 4, session.evidence()
    bill = await check(scene, session, served=Served(0.0))
    assert bill.credits == 0, bill


async def test_row_38_a_drained_node_lets_its_call_finish_and_takes_no_other(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        drained = session.node
        await _drain(scene, drained, limit_s=60)
        async with scene.call("Peter") as (second, peter):
            await caller.say(await scene.speech("What time is it?"))
            await session.answered(20, epoch=1)
            left, other_left = await asyncio.gather(caller.leave(), peter.leave())
            await asyncio.gather(session.end(), second.end())
            assert second.node != drained, second.evidence()
            await check(scene, second, peter, served=Served(peter.served_s(other_left.at)))
        async with asyncio.timeout(10):
            assert await scene.node(drained).wait() == 0

        assert session.epoch == 1, session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at)))


async def test_row_38_at_the_drain_limit_the_call_is_handed_over_without_a_pause(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        drained = session.node
        drained_at = time.monotonic()
        await _drain(scene, drained, limit_s=1)
        await session.ready(2, 8)
        bridge = await caller.heard(after=drained_at + 1, deadline_s=HEARD_AGAIN_S)
        await caller.answered(after=bridge.at, deadline_s=10)
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=2)
        left = await caller.leave()
        await session.end()
        async with asyncio.timeout(10):
            assert await scene.node(drained).wait() == 0

        assert session.node != drained, session.evidence()
        assert session.events(AgentStopped, epoch=1)[0].cause == "drained", session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at)))


async def _drain(scene: Scene, node_id: str, *, limit_s: float) -> None:
    reply = await scene.bus.request(DRAIN.at(node_id), DrainNode(limit_s=limit_s), timeout_s=5)
    assert isinstance(reply, NodeDraining), reply
