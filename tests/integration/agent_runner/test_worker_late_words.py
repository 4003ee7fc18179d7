"""A recogniser whose words come late, at the caller's ear."""

import asyncio

import pytest

from agent_runner.link.messages import Turn
from contracts.lines import lines_in
from tests.integration.agent_runner.worker_stage import Greet, Sandbox, Worker
from tests.support.waiting import until

SORRY = lines_in(None).sorry
ANSWER = "It is noon."


def told(worker: Worker) -> list[Turn]:
    return [m for m in worker.said if isinstance(m, Turn)][1:]


@pytest.mark.parametrize(
    ("late_ms", "text"), [(2_500, "What time is it?"), (4_300, "What time is it?"), (5_500, "Yes."), (11_000, "Yes.")]
)
async def test_late_words_are_answered_once_and_the_agent_does_not_go_on_asking_for_them(
    greet: Greet, sandbox: Sandbox, late_ms: int, text: str
) -> None:
    """Within the agent's patience of 4 s; as its question begins; in it; after it."""
    await sandbox.control("transcripts", {"texts": [text]})
    await sandbox.control("replies", {"replies": [ANSWER] * 2})
    await sandbox.control("faults", {"service": "assemblyai", "kind": "late", "latency_ms": late_ms, "count": 1})
    worker, caller = await greet(stt_silence_s=4)
    caller.say("What time is it now?")
    await until(lambda: any(turn.user_text for turn in told(worker)), 25)
    await asyncio.sleep(5)

    turns = told(worker)
    (answered,) = [turn for turn in turns if turn.user_text]
    assert (answered.heard_text, answered.interrupted) == (ANSWER, False)
    assert late_ms - 100 < answered.stage_ms["stt"], "the stages show it"
    asked_for = [turn.heard_text for turn in turns if not turn.user_text]
    assert len(asked_for) <= (late_ms > 4_000)
    assert all(SORRY.startswith(heard) for heard in asked_for)
    assert (SORRY in asked_for) == (late_ms == 11_000)
    assert len(await sandbox.asked()) == 1
