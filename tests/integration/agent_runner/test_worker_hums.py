"""Sounds without words while the agent listens: one apology, no provider is blamed, the caller is answered later."""

import asyncio
from collections.abc import Sequence
from typing import Final

import numpy as np
import pytest
from numpy.typing import NDArray

from agent_runner.link.messages import Failed, Faulty, Stopped, Turn
from contracts.lines import lines_in
from tests.integration.agent_runner.worker_stage import LOUD, Greet, Sandbox, voice_of, without_pauses
from tests.support.waiting import until

SORRY: Final = lines_in(None).sorry
NOBODY: Final = "ws://127.0.0.1:9/nobody"  # a call that moved there would hear the caller no more
TURN_STOP_S: Final = 1.5
STT_SILENCE_S: Final = 1.0
APART_S: Final = 3.0
"""From a hum's end to the next hum: longer than an empty turn (TURN_STOP_S), the wait for its words (STT_SILENCE_S),
the agent's pause for a sound (2 s at most) and the agent's echo (1 s). So no timer that a hum starts runs at the next
one, and more time between them would change nothing."""


def hum(lasts_s: float) -> NDArray[np.int16]:
    """One hum without a pause, at 48 kHz."""
    once = voice_of("Mmmm mmmm mmmm.")
    loud = np.flatnonzero(np.abs(once.astype(np.int32)) > LOUD)
    once = once[loud[0] : loud[-1] + 1]
    return np.resize(once, round(lasts_s * 48_000))


@pytest.mark.parametrize(("hums_s", "sessions"), [((0.7, 0.7, 0.7), 1), ((12.0, 0.7), 2)])
async def test_hums_far_apart_and_a_long_one_bring_one_apology_and_blame_nobody(
    greet: Greet, sandbox: Sandbox, hums_s: tuple[float, ...], sessions: int
) -> None:
    """A sound of more than 8 s without a message opens a new session, in case; no provider is blamed for that."""
    await sandbox.control("faults", {"service": "assemblyai", "kind": "unheard"})
    worker, caller = await greet(
        stt_silence_s=STT_SILENCE_S, user_turn_stop_timeout=TURN_STOP_S, assembly_fallback_base_url=NOBODY
    )
    for n, lasts_s in enumerate(hums_s):
        caller.play(hum(lasts_s))
        await caller.has_spoken()
        if n == 0:
            await until(lambda: sorries(worker.said) == 1, 20, "the caller was not asked to say it again")
        await asyncio.sleep(APART_S)
    assert sorries(worker.said) == 1
    heard, line = without_pauses(caller.recording)[0], await sandbox.voice(SORRY, "Ashley", 1.0)
    assert 0.8 < sum(map(len, heard)) / len(line) < 1.5, "the first line and one apology"
    assert sum(isinstance(m, Faulty) for m in worker.said) < sessions, "beside the moment of a new session"
    assert not worker.faulty
    assert not [m for m in worker.said if isinstance(m, Failed | Stopped)]
    assert (await sandbox.state())["requests"]["assemblyai.connect"] <= sessions

    await sandbox.control("reset", {})
    await sandbox.control("transcripts", {"texts": ["How are you?"]})
    await sandbox.control("replies", {"replies": ["I am fine."]})
    caller.say("How are you doing today my friend?")
    await until(lambda: "I am fine." in [m.heard_text for m in worker.said if isinstance(m, Turn)], 20)


def sorries(said: Sequence[object]) -> int:
    return sum(isinstance(m, Turn) and SORRY in m.heard_text for m in said)
