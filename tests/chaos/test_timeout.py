"""At SESSION_TIMEOUT the agent says goodbye, unbilled, and the caller or an end by REST interrupts it."""

import asyncio
import time

import pytest

from contracts.events import AgentReady, Outcome
from tests.chaos.invariants import Served, check
from tests.chaos.participant import Participant
from tests.chaos.scene import Scene
from tests.chaos.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]

LIMIT_S = 6.0
ENVIRONMENT = {"SESSION_TIMEOUT": f"{LIMIT_S * 1000:g}"}
SPOKEN_END_S = 5.0
END_S = 2.0
LATE_S = 0.3  # how much later than the limit the node may hear of it; far from a second, which would be billed


async def test_the_agent_says_goodbye_and_none_of_it_is_billed(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        up_at = _up_at(session)
        goodbye = await caller.answered(after=up_at, deadline_s=LIMIT_S + SPOKEN_END_S)
        await session.ended(SPOKEN_END_S)
        assert time.monotonic() - up_at < SPOKEN_END_S + LATE_S, session.evidence()
        assert goodbye.until is not None
        assert goodbye.until - goodbye.since > 2, f"not a whole sentence\n{caller.evidence()}"
        await _is_billed_to_the_limit(scene, session, caller, up_at)


async def test_an_end_by_rest_cuts_the_goodbye(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        up_at = _up_at(session)
        await caller.heard(after=up_at, deadline_s=LIMIT_S + SPOKEN_END_S)
        end = await session.end()
        assert end.pending == 0
        assert end.answered_at - end.asked_at < END_S, session.evidence()
        await _is_billed_to_the_limit(scene, session, caller, up_at)


async def test_a_caller_who_hangs_up_cuts_the_goodbye(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        up_at = _up_at(session)
        await caller.heard(after=up_at, deadline_s=LIMIT_S + SPOKEN_END_S)
        left = await caller.leave()
        await session.ended(END_S)
        assert time.monotonic() - left.at < END_S, session.evidence()
        await _is_billed_to_the_limit(scene, session, caller, up_at)


async def test_nothing_is_said_to_a_caller_who_is_away(scene: Scene) -> None:
    async with scene.call() as (session, caller):
        up_at = _up_at(session)
        left = await caller.leave()
        await asyncio.sleep(max(0.0, up_at - time.monotonic()))
        ended = await session.ended(END_S)
        assert (ended.outcome, ended.reason) == (Outcome.COMPLETED, "session_timeout"), session.evidence()
        await check(scene, session, caller, served=Served(caller.served_s(left.at)))


def _up_at(session: Session) -> float:
    """When the session's time is up, on the monotonic clock."""
    ready = next(stored for stored in session.log if isinstance(stored.event, AgentReady))
    return session.started_at + (ready.stored_ms - session.log[0].stored_ms) / 1000 + LIMIT_S


async def _is_billed_to_the_limit(scene: Scene, session: Session, caller: Participant, up_at: float) -> None:
    ended = await session.ended(1)
    assert (ended.outcome, ended.reason) == (Outcome.COMPLETED, "session_timeout"), session.evidence()
    bill = await check(scene, session, caller, served=Served(caller.served_s(up_at)))
    assert bill.billable_ms <= 1000 * (LIMIT_S + LATE_S), f"{bill}\n{session.evidence()}"
