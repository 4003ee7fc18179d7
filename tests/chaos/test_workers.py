"""Rows 1, 2, 3 (a worker), 4 and 39: an agent's process dies, hangs or is pushed aside; the call goes on."""

import asyncio
import os
import resource
import signal
import time

import pytest

from contracts.deadlines import KILL_S
from contracts.events import AgentStopped, JobAssigned, Outcome, TurnFinished
from tests.chaos.invariants import Served, check
from tests.chaos.participant import AGENT, Participant, agent_token
from tests.chaos.scene import Scene
from tests.chaos.session import Session
from tests.support.processes import is_alive

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

HEARD_AGAIN_S = 5.0  # the goal is under 1 s on a host that does nothing else
STALL_S = 3.0  # a silent worker is killed after 1.5 s
STARVED_S = 5.0
LAST_WORD_S = 8.0
MEBIBYTE = 1 << 20


async def test_row_1_after_kill_9_another_agent_goes_on_with_the_conversation(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        await caller.say(await scene.speech("What time is it?"))
        told = await session.answered(15, epoch=1)
        await asyncio.sleep(0.5)  # its last sound is in flight

        killed_at = _kill(session)
        await _bridged(caller, killed_at)
        await caller.say(await scene.speech("What did you just say?"))
        await session.answered(20, epoch=2)
        left = await caller.leave()
        await session.end()

        assert session.events(AgentStopped, epoch=1)[0].cause == "crashed"
        last = await _last_messages(scene)
        said = [message["content"] for message in last if message["role"] == "assistant"]
        assert told.heard_text in said, f"{told.heard_text!r} is not in {last}\n{session.evidence()}"
        await check(scene, session, caller, served=Served(caller.served_s(left.at, killed_at), crashes=1))


async def test_row_1_a_death_in_the_middle_of_an_answer_leaves_the_agent_neither_deaf_nor_mute(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        await scene.answers("I can tell you a very long story about a theatre, and about all who ever played in it.")
        asked = await caller.say(await scene.speech("Tell me a story"))
        await caller.heard(after=asked.at, deadline_s=15)
        await asyncio.sleep(1)

        killed_at = _kill(session)
        await _bridged(caller, killed_at)
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=2)
        left = await caller.leave()
        await session.end()

        cut = next(turn for turn in session.events(TurnFinished, epoch=1) if turn.user_text)
        assert cut.interrupted, session.evidence()
        assert cut.heard_text.startswith("I can tell you"), session.evidence()
        known = [(message["role"], message["content"]) for message in await _last_messages(scene)]
        assert ("user", cut.user_text) in known, f"{known}\n{session.evidence()}"
        assert ("assistant", cut.heard_text) in known, f"{known}\n{session.evidence()}"
        await check(scene, session, caller, served=Served(caller.served_s(left.at, killed_at), crashes=1))


async def test_row_1_a_death_in_the_middle_of_the_callers_sentence_leaves_the_agent_able_to_listen(
    scene: Scene,
) -> None:
    async with scene.call() as (session, caller):
        caller.begin_saying(
            await scene.speech("I would like to book a table. What time is it? Please tell me the time.")
        )
        await asyncio.sleep(1)

        killed_at = _kill(session)
        await caller.heard(after=killed_at, deadline_s=HEARD_AGAIN_S)
        await caller.report("said", after=killed_at, deadline_s=15)
        await session.answered(25, epoch=2)
        left = await caller.leave()
        await session.end()

        await check(scene, session, caller, served=Served(caller.served_s(left.at, killed_at), crashes=1))


async def test_row_1_the_third_death_ends_the_call_with_a_last_word(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        deaths: list[float] = []
        for epoch in (1, 2, 3):
            await session.ready(epoch, HEARD_AGAIN_S)
            await caller.heard(after=max(deaths, default=0.0), deadline_s=HEARD_AGAIN_S)
            await asyncio.sleep(1)
            deaths.append(_kill(session))
        await caller.answered(after=deaths[-1], deadline_s=10)  # an agent says that the call cannot go on
        ended = await session.ended(LAST_WORD_S)

        assert (ended.outcome, ended.reason) == (Outcome.FAILED, "agent_failed"), session.evidence()
        # The last word is not billed.
        await check(scene, session, caller, served=Served(caller.served_s(deaths[-1], *deaths), crashes=3))


async def test_row_2_a_worker_without_memory_is_replaced_and_its_neighbour_does_not_notice(scene: Scene) -> None:
    async with scene.call("Anna") as (session, caller), scene.call("Peter") as (neighbour, other):
        # Below what it holds: its next allocation fails, as at a limit that a leak has reached.
        pid, starved_at = session.pid, time.monotonic()
        resource.prlimit(pid, resource.RLIMIT_DATA, (MEBIBYTE, MEBIBYTE))

        while is_alive(pid):
            assert time.monotonic() - starved_at < STARVED_S, f"it lives without memory\n{session.evidence()}"
            await asyncio.sleep(0.02)
        died_at = time.monotonic()
        await caller.heard(after=died_at, deadline_s=HEARD_AGAIN_S)
        await other.say(await scene.speech("What time is it?"))
        await neighbour.answered(20, epoch=1)
        left, other_left = await asyncio.gather(caller.leave(), other.leave())
        await asyncio.gather(session.end(), neighbour.end())

        assert session.epoch == 2, session.evidence()
        assert neighbour.epoch == 1, neighbour.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at, died_at), crashes=1))
        await check(scene, neighbour, other, served=Served(other.served_s(other_left.at)))


async def test_row_3_a_frozen_worker_is_replaced_and_never_speaks_again(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        pid = session.pid
        frozen_at = time.monotonic()
        os.kill(pid, signal.SIGSTOP)

        stopped = await session.stopped(1, STALL_S)
        await _bridged(caller, frozen_at, STALL_S + HEARD_AGAIN_S)
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=2)
        left = await caller.leave()
        await session.end()

        assert stopped.cause == "stalled", session.evidence()
        assert not is_alive(pid), f"the frozen process {pid} is still there\n{session.evidence()}"
        await check(scene, session, caller, served=Served(caller.served_s(left.at, frozen_at), crashes=1))


async def test_row_4_a_worker_that_will_not_end_is_killed_and_the_bill_stops_at_the_decision(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        pid = session.pid
        os.kill(pid, signal.SIGSTOP)  # its event loop hangs; whatever it is told, it does not hear
        ended = await session.end()
        while is_alive(pid):
            assert time.monotonic() - ended.asked_at < 30, f"process {pid} is still there\n{session.evidence()}"
            await asyncio.sleep(0.1)
        gone_s = time.monotonic() - ended.asked_at

        assert gone_s < KILL_S + 2, f"SIGKILL came after {gone_s:.1f} s\n{session.evidence()}"
        served = Served(caller.served_s(ended.asked_at), crashes=1)
        await check(scene, session, caller, served=served)


async def test_row_39_a_stranger_under_the_agents_identity_is_pushed_out_again(scene: Scene) -> None:
    async with scene.call() as (session, caller), scene.participant() as stranger:
        # The agent is removed as a duplicate, finds that its epoch is still the last, and takes its identity back,
        # often before any participant has seen the stranger.
        tried_at = stranger.begin_joining(session.url, agent_token(scene.stack.environment, session.id))
        removed = await caller.report("other_left", after=tried_at, who=AGENT, deadline_s=10)
        await asyncio.sleep(1)
        stranger.kill()  # its client would try again
        await caller.say(await scene.speech("What time is it?"))
        await session.answered(20, epoch=1)
        left = await caller.leave()
        await session.end()

        back = [r for r in caller.reports if r.kind == "other_joined" and r.at >= removed.at][-1]
        assert back.at - removed.at < 2, caller.evidence()
        assert len(session.events(JobAssigned)) == 1, session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at) - (back.at - removed.at)))


async def _last_messages(scene: Scene) -> list[dict[str, str]]:
    """What the language model was told last."""
    requests = (await scene.traffic())["last_requests"]
    return [request["body"]["messages"] for request in requests if request["service"] == "groq"][-1]


def _kill(session: Session) -> float:
    """kill -9 of the agent's worker; returns when."""
    os.kill(session.pid, signal.SIGKILL)
    return time.monotonic()


async def _bridged(caller: Participant, died_at: float, deadline_s: float = HEARD_AGAIN_S) -> None:
    """Wait until the next agent has said its bridge line."""
    bridge = await caller.heard(after=died_at, deadline_s=deadline_s)
    await caller.answered(after=bridge.at, deadline_s=10)
