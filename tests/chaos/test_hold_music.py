"""A caller puts the agent on hold: minutes of music without a word, and then the caller is back."""

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.events import JobAssigned, ProviderFault, SessionEnded, TurnFinished
from contracts.lines import TABLE
from greenroom_cli.call.audio import RATE
from tests.chaos.invariants import Served, check
from tests.chaos.scene import OPENING, Scene
from tests.chaos.session import Session

MINUTES = int(os.environ.get("HOLD_MINUTES", "3"))  # the long form: HOLD_MINUTES=10
SETTLED = min(2, MINUTES - 1)  # minutes until the worker has all that it needs for such a call

log = logging.getLogger(__name__)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(66 * MINUTES + 180)]

WORDS = "What time is it?"
ENVIRONMENT = {
    "USER_IDLE_PROMPT_S": "20",  # the default
    "USER_IDLE_END_S": "60",  # the default
    "SANDBOX_STT_WORDS": WORDS,  # a recogniser that listens to music falls behind real time
}
MOST_MB = 5.0
CHORDS_HZ = ((220.0, 261.6, 329.6), (174.6, 220.0, 261.6), (261.6, 329.6, 392.0), (196.0, 246.9, 293.7))


async def test_minutes_of_hold_music_cost_the_call_nothing_but_its_minutes(scene: Scene) -> None:
    """The recogniser finds no words in it; the agent asks for them once at most, and stays quiet."""
    async with scene.call() as (session, caller):
        connects = await _connects(scene)
        await scene.fault("assemblyai", "unheard")
        music = scene.recording(_music(60))
        began = time.monotonic()
        for _ in range(MINUTES):
            caller.begin_saying(music)
        await asyncio.sleep(60 * SETTLED)
        _is_undisturbed(session)
        settled_mb = _pss_mb(session.pid)
        await asyncio.sleep(60 * (MINUTES - SETTLED))
        _is_undisturbed(session)
        grown_mb = _pss_mb(session.pid) - settled_mb
        renewed = await _connects(scene) - connects

        assert renewed <= 1, "the recogniser gets one new session, in case"
        assert grown_mb < MOST_MB, f"{settled_mb:.1f} MB after {SETTLED} min, {grown_mb:+.1f} MB after {MINUTES}"
        # A busy machine sends audio late.
        late_s = 30 + 6 * MINUTES
        await caller.until(
            lambda: sum(report.kind == "said" for report in caller.reports) == MINUTES or None,
            late_s,
            "end of the music",
        )
        said = [turn.heard_text for turn in session.events(TurnFinished)[1:]]

        await scene.repair()
        await asyncio.sleep(1)
        asked = await caller.say(await scene.speech(WORDS))
        await caller.answered(after=asked.at, deadline_s=20)
        await session.answered(5, epoch=1)
        left = await caller.leave()
        await session.end()

        assert len(session.events(JobAssigned)) == 1, session.evidence()
        bill = await check(scene, session, caller, served=Served(caller.served_s(left.at)))
        assert bill.billable_ms > 1000 * (left.at - began - 1), f"{bill}\n{session.evidence()}"
        log.info("%d min: %.1f MB %+.1f MB, %s, %d sessions, %s", MINUTES, settled_mb, grown_mb, said, renewed, bill)


def _is_undisturbed(session: Session) -> None:
    """The call goes on, no provider counts as failed, and the agent has said no more than a question for the words."""
    assert not session.events(SessionEnded), session.evidence()
    assert not [fault for fault in session.events(ProviderFault) if fault.provider != "network"], session.evidence()
    said = [turn.heard_text for turn in session.events(TurnFinished)]
    assert said in ([OPENING], [OPENING, TABLE["en"].sorry]), session.evidence()


async def _connects(scene: Scene) -> int:
    return int((await scene.traffic())["requests"]["assemblyai.connect"])


def _music(lasts_s: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Four chords of two seconds, struck twice a second, as loud as speech."""
    at = np.arange(round(lasts_s * RATE)) / RATE
    chords = np.array(CHORDS_HZ)[(at // 2).astype(int) % len(CHORDS_HZ)]
    notes = np.sin(2 * np.pi * chords * at[:, np.newaxis]).sum(axis=1)
    return (3_000 * notes * (0.3 + 0.7 * np.exp(-4 * (at % 0.5)))).astype(np.int16)


def _pss_mb(pid: int) -> float:
    """The process's memory, with its share of what it shares."""
    fields = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(fields["Pss"].split()[0]) / 1024
