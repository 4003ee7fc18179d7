"""Rows 24 to 26 and 28: the caller goes, comes back, or never comes."""

import asyncio
import signal
import time

import pytest

from contracts.events import AgentReady, JobAssigned, Outcome, SessionStarted, TurnFinished
from tests.chaos.invariants import Served, check
from tests.chaos.participant import AGENT
from tests.chaos.scene import OPENING, Scene
from tests.integration.signalling import signalling

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

GRACE_S = 6.0
JOIN_S = 6.0
ENVIRONMENT = {"RECONNECT_GRACE_S": f"{GRACE_S:g}", "CALLER_JOIN_TIMEOUT_S": f"{JOIN_S:g}"}
SILENT_S = 23.0  # so long LiveKit takes one that went without a word for present; 18 to 22 s were measured
END_S = 2.0


async def test_row_24_a_caller_who_hangs_up_and_returns_within_the_grace_goes_on(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        gone = await caller.leave()
        await asyncio.sleep(GRACE_S / 2)
        back = await caller.join(session.url, session.token)
        await caller.report("other_joined", after=back.at - 0.1, who=AGENT, deadline_s=5)
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=1)
        await asyncio.sleep(
            max(0.0, gone.at + GRACE_S + 2 - time.monotonic())
        )  # the grace of the first stay has expired
        left = await caller.leave()
        await session.end()

        assert len(session.events(JobAssigned)) == 1, session.evidence()
        assert [t.heard_text for t in session.events(TurnFinished)].count(OPENING) == 1, session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at)))


async def test_row_24_a_caller_whose_phone_dies_returns_before_livekit_noticed(scene: Scene) -> None:
    async with scene.call() as (session, caller), scene.participant() as again:
        died_at = caller.kill()
        await asyncio.sleep(2)
        back = await again.join(session.url, session.token)
        await again.report("other_joined", after=back.at - 0.1, who=AGENT, deadline_s=5)
        await again.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=1)
        left = await again.leave()
        ended = await session.end()

        assert ended.details.errors == []
        together_s = caller.served_s(died_at) + again.served_s(left.at)
        await check(scene, session, caller, again, served=Served(together_s, unnoticed_s=back.at - died_at))


async def test_row_25_a_caller_who_goes_for_good_ends_the_session_after_the_grace(scene: Scene) -> None:
    """One hangs up; another's phone dies, which LiveKit notices some 20 s later, and so the bill does."""
    async with scene.call("Anna") as (session, anna), scene.call("Peter") as (silent, peter):
        died_at = peter.kill()
        left = await anna.leave()
        ended = await session.ended(GRACE_S + END_S + 2)
        ended_at = time.monotonic()
        silently = await silent.ended(SILENT_S + GRACE_S + END_S + 5)

        for outcome in (ended, silently):
            assert (outcome.outcome, outcome.reason) == (Outcome.COMPLETED, "caller_left"), silent.evidence()
        assert GRACE_S - 1 < ended_at - left.at < GRACE_S + END_S + 1, session.evidence()
        await check(scene, session, anna, served=Served(anna.served_s(left.at)))
        await check(scene, silent, peter, served=Served(peter.served_s(died_at), unnoticed_s=SILENT_S))


async def test_row_26_a_caller_who_never_comes_is_a_no_show_and_pays_nothing(scene: Scene) -> None:
    session = await scene.start()
    await session.ready(1, 15)
    ready_at = time.monotonic()
    ended = await session.ended(JOIN_S + END_S + 2)

    assert (ended.outcome, ended.reason) == (Outcome.NO_SHOW, "caller_never_joined"), session.evidence()
    assert time.monotonic() - ready_at > JOIN_S - 1, session.evidence()
    assert not session.events(SessionStarted), session.evidence()
    bill = await check(scene, session, served=Served(0.0))
    assert (bill.billable_ms, bill.credits) == (0, 0), bill


async def test_row_28_a_session_ended_while_its_agent_starts_costs_nothing(scene: Scene) -> None:
    session = await scene.start()
    ended = await session.end()

    assert ended.answered_at - ended.asked_at < END_S + 1, session.evidence()
    bill = await check(scene, session, served=Served(0.0))
    assert bill.billable_ms == 0, bill
    assert ended.details.duration_seconds == 0


async def test_row_28_a_caller_who_hangs_up_while_the_agent_starts_pays_nothing(scene: Scene) -> None:
    node = scene.node(scene.nodes[0])
    async with scene.participant() as caller:
        node.signal(signal.SIGSTOP, whole_session=True)  # a start that takes a second and a half
        session = await scene.start()
        await caller.join(session.url, session.token)
        left = await caller.leave()
        assert not session.events(AgentReady), session.evidence()
        await asyncio.sleep(max(0.0, session.started_at + 1.5 - time.monotonic()))
        node.signal(signal.SIGCONT, whole_session=True)

        ended = await session.ended(GRACE_S + END_S + 6)

        assert (ended.outcome, ended.reason) == (Outcome.COMPLETED, "caller_left"), session.evidence()
        assert time.monotonic() - left.at < GRACE_S + END_S + 4, session.evidence()
        bill = await check(scene, session, caller, served=Served(0.0))
        assert bill.billable_ms == 0, bill


async def test_row_47_a_caller_whose_media_never_comes_is_a_no_show_and_costs_no_agent(scene: Scene) -> None:
    session = await scene.start()
    async with signalling(session.url, session.token):
        ended = await session.ended(15 + JOIN_S + END_S + 2)

    assert (ended.outcome, ended.reason) == (Outcome.NO_SHOW, "caller_never_joined"), session.evidence()
    assert not session.events(SessionStarted), session.evidence()
    assert not session.events(TurnFinished), session.evidence()
    assert len(session.events(JobAssigned)) == 1, session.evidence()
    bill = await check(scene, session, served=Served(0.0))
    assert (bill.billable_ms, bill.credits) == (0, 0), bill
