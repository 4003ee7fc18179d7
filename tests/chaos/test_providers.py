"""Rows 34 and 35: a provider of speech or language fails in the middle of a call."""

import asyncio
import time
from contextlib import suppress

import pytest

from contracts.events import AgentStopped, JobAssigned, Outcome, ProviderFault, TurnFinished
from tests.chaos.invariants import Served, check
from tests.chaos.participant import Participant
from tests.chaos.scene import Scene
from tests.chaos.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

END_S = 30.0  # from the fault to the end, retries and last words included
APOLOGY_S = 2.0  # at least so long is it
SOON_S = 3.0
DECISION_S = 0.7  # from the end of a question to the request for its answer
MOST_REQUESTS = 12


async def test_row_34_stt_down_for_good_ends_the_call_with_an_apology(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        failed_at = time.monotonic()
        await scene.fault("assemblyai", "status", status=503)
        await scene.disconnect("assemblyai")
        await caller.say(await scene.speech("What time is it?"))
        await _ends_with_an_apology(scene, session, caller, failed_at, "provider_failed:stt", billed_until=failed_at)


async def test_row_34_llm_down_for_good_ends_the_call_with_an_apology(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        failed_at = time.monotonic()
        await scene.fault("groq", "status", status=503)
        asked_at = await _goes_on_asking(scene, session, caller)
        await _ends_with_an_apology(scene, session, caller, failed_at, "provider_failed:llm", billed_until=asked_at)


async def test_row_34_tts_down_for_good_ends_the_call_with_an_apology(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        failed_at = time.monotonic()
        await scene.fault("inworld", "status", status=503)
        await scene.fault("inworld", "drop")
        await scene.disconnect("inworld")
        await _goes_on_asking(scene, session, caller)
        await _ends_with_an_apology(scene, session, caller, failed_at, "provider_failed:tts", billed_until=failed_at)


async def test_row_34_cut_connections_are_made_again_and_the_call_goes_on(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        for service in ("assemblyai", "inworld"):
            await scene.disconnect(service)
            await asyncio.sleep(2)
            await _is_answered(scene, session, caller)
        await _hangs_up(scene, session, caller, faults_s=2)


async def test_row_34_after_an_answer_that_broke_off_the_next_sentence_is_answered(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        for service in ("groq", "inworld"):
            await scene.fault(service, "drop", count=1)
            await caller.say(await scene.speech("What time is it?"))
            await asyncio.sleep(5)  # an answer all the same, an apology for none, or nothing
            await _is_answered(scene, session, caller)
        await _hangs_up(scene, session, caller, faults_s=6)


async def test_row_35_a_429_delays_an_answer(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        await scene.fault("groq", "status", status=429, retry_after_s=1, count=1)
        await _is_answered(scene, session, caller)
        await _hangs_up(scene, session, caller, faults_s=4)


async def test_row_35_with_429_for_good_retries_are_bounded_and_the_call_ends(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        before = (await scene.traffic())["requests"]
        failed_at = time.monotonic()
        await scene.fault("groq", "status", status=429, retry_after_s=1)
        asked_at = await _goes_on_asking(scene, session, caller)
        await _ends_with_an_apology(scene, session, caller, failed_at, "provider_failed:llm", billed_until=asked_at)
        after = (await scene.traffic())["requests"]
        asked = {name: count - before.get(name, 0) for name, count in after.items() if name.startswith("groq")}
        assert sum(asked.values()) <= MOST_REQUESTS, f"{asked}\n{session.evidence()}"


async def _goes_on_asking(scene: Scene, session: Session, caller: Participant) -> float:
    """The caller asks again and again, as people do, until the agent gives up; returns when the first was asked."""
    began = time.monotonic()
    question = await scene.speech("What time is it?")
    until = time.monotonic() + END_S
    while time.monotonic() < until and not session.events(AgentStopped):
        caller.begin_saying(question)
        with suppress(AssertionError):
            await session.stopped(1, 4)
    return (await caller.report("said", after=began, deadline_s=1)).at + DECISION_S


async def _ends_with_an_apology(
    scene: Scene, session: Session, caller: Participant, failed_at: float, reason: str, *, billed_until: float
) -> None:
    """The session ends in time with its reason, and the last thing that the caller heard is a whole sentence.

    Args:
        billed_until: When the provider first kept the agent deaf or mute; nothing after it is billed.
    """
    ended = await session.ended(max(1.0, failed_at + END_S - time.monotonic()))
    ended_at = time.monotonic()
    assert (ended.outcome, ended.reason) == (Outcome.FAILED, reason), session.evidence()
    last = caller.sounds[-1]
    until = ended_at if last.until is None else last.until
    said = last.since > failed_at and until - last.since > APOLOGY_S and ended_at - until < SOON_S
    assert said, f"no apology\n{caller.evidence()}\n{session.evidence()}"
    assert len(session.events(JobAssigned)) == 1, session.evidence()
    faults = session.events(ProviderFault, provider=reason.partition(":")[2])
    assert {"silent", "unusable"} <= {fault.kind for fault in faults}, session.evidence()
    bill = await check(scene, session, caller, served=Served(caller.served_s(billed_until)))
    assert bill.epochs[0].fault_ms > 1000 * (ended_at - billed_until - 2), f"{bill}\n{session.evidence()}"


async def _is_answered(scene: Scene, session: Session, caller: Participant) -> None:
    """The agent hears the caller and answers."""
    known = len(session.events(TurnFinished))
    asked = await caller.say(await scene.speech("What time is it?"))
    await caller.answered(after=asked.at, deadline_s=20)
    await session.until(
        lambda: [t for t in session.events(TurnFinished)[known:] if t.user_text and t.heard_text] or None,
        20,
        "answered turn",
    )


async def _hangs_up(scene: Scene, session: Session, caller: Participant, *, faults_s: float) -> None:
    """A clean end of a call that had one agent all the time; what its providers' faults took is not billed."""
    left = await caller.leave()
    await session.end()
    assert len(session.events(JobAssigned)) == 1, session.evidence()
    bill = await check(scene, session, caller, served=Served(caller.served_s(left.at), faults_s=faults_s))
    assert 0 < bill.epochs[0].fault_ms < 1000 * faults_s, f"{bill}\n{session.evidence()}"
