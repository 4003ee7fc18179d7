"""Row 36, and row 37 as far as it needs no accounts: a session's own limit is kept, and never billed beyond.

The limit is a minute, the shortest that a start may ask for, so each of these takes a little longer.
"""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack

import pytest

from contracts.api import SessionBill
from contracts.events import AgentStopped, JobAssigned, Outcome, ServedTick, TurnFinished
from contracts.lines import lines_in
from greenroom_cli.stack import Part
from tests.chaos.invariants import Served, check
from tests.chaos.participant import Participant
from tests.chaos.scene import Scene
from tests.chaos.session import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

LIMIT_MS = 60_000
EARLY_MS = 500
WARNED_S = 20.0
SAID_S = 8.0  # by then the warning is begun, whatever goes on
LATE_S = 1.0
WARNING = lines_in(None).credit_warning


async def test_row_36_a_call_is_warned_and_ended_at_its_limit_although_billing_is_down(scene: Scene) -> None:
    async with scene.call(creditLimit=1) as (session, caller):
        billing = scene.stack.processes[Part.BILLING]
        billing.signal(signal.SIGSTOP)
        shown = (await scene.http.get(f"/sessions/{session.id}")).json()
        assert shown["grantedMinutes"] == 1

        warned = await session.event(TurnFinished, 70, heard_text=WARNING)
        assert not warned.interrupted
        said = caller.sounds[-1]
        ended = await session.ended(30)
        ended_at = time.monotonic()
        billing.signal(signal.SIGCONT)

        assert (ended.outcome, ended.reason) == (Outcome.COMPLETED, "credit_spent"), session.evidence()
        assert SAID_S - LATE_S < ended_at - said.since < WARNED_S + LATE_S, f"{said}\n{session.evidence()}"
        bill = await check(scene, session, caller, served=Served(caller.served_s(ended_at)))
        _is_within_its_limit(session, bill)
        assert bill.billable_ms >= LIMIT_MS - EARLY_MS, session.evidence()
        assert (bill.minutes, bill.credits) == (1, 1)


async def test_row_37_three_calls_keep_to_their_limits_one_of_them_over_a_take_over(scene: Scene) -> None:
    async with AsyncExitStack() as calls:
        talking = [await calls.enter_async_context(scene.call(user, maxMinutes=1)) for user in ("Ann", "Bob", "Cid")]
        session, _ = talking[0]
        await session.event(ServedTick, 15)

        killed_at = time.monotonic()
        os.kill(session.pid, signal.SIGKILL)
        await session.ready(2, deadline_s=10)
        successor = session.events(JobAssigned, epoch=2)[0]
        before_ms = session.events(AgentStopped, epoch=1)[0].served_ms
        assert (successor.granted_minutes, successor.billable_ms_before) == (1, before_ms), session.evidence()

        ends = await asyncio.gather(*(_spent(scene, *call) for call in talking))
        deaths = [(killed_at,), (), ()]
        for (session, caller), ended_at, died in zip(talking, ends, deaths, strict=True):
            served = Served(caller.served_s(ended_at, *died), crashes=len(died))
            _is_within_its_limit(session, await check(scene, session, caller, served=served))


async def _spent(scene: Scene, session: Session, caller: Participant) -> float:
    ended = await session.ended(90)
    assert ended.reason == "credit_spent", session.evidence()
    assert session.events(TurnFinished, heard_text=WARNING), session.evidence()
    return time.monotonic()


def _is_within_its_limit(session: Session, bill: SessionBill) -> None:
    assert bill.granted_minutes == 1
    assert bill.minutes == 1, f"{bill}\n{session.evidence()}"
    # What was served in all, not only what is billed of it: the node ended the call before the limit.
    assert sum(epoch.billable_ms for epoch in bill.epochs) < LIMIT_MS, f"{bill}\n{session.evidence()}"
