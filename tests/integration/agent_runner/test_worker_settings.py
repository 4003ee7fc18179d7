"""Settings of pauses, backchannels, lines and silence, at the caller's ear."""

import asyncio

import pytest

from agent_runner.link.messages import Stopped, Turn
from contracts.lines import lines_in
from tests.integration.agent_runner.test_worker_floor import COUNT, HUM, without_pauses
from tests.integration.agent_runner.worker_stage import Fork, Greet, New, Sandbox, Worker, go
from tests.support.servers import LiveKitServer

RESUME_AFTER_S = 3.0
ASKED = "Hello, are you with me?"


async def test_a_paused_agent_waits_for_resume_after_s(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await fork(resume_after_s=RESUME_AFTER_S)
    caller = await person().enter(session)
    await sandbox.control("faults", {"service": "assemblyai", "kind": "unheard", "count": 1})
    worker.send(go(livekit, session, opening_line=COUNT))
    await caller.hears(1.2)
    caller.say(HUM)
    opening = await worker.heard(Turn, timeout_s=30)
    assert (opening.heard_text, opening.interrupted) == (COUNT, False)
    _, pauses_s = without_pauses(caller.recording)
    assert max(pauses_s) > RESUME_AFTER_S - 0.2, "the default is 0.8 s"


@pytest.mark.parametrize(("said", "interrupts"), [("Stop it now.", False), ("Okay.", True)])
async def test_a_settings_backchannels_stand_in_place_of_the_languages_own(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, said: str, interrupts: bool
) -> None:
    worker = await fork(backchannels={"en": ["stop it now"]})
    caller = await person().enter(session)
    await sandbox.control("transcripts", {"texts": [said]})
    worker.send(go(livekit, session, opening_line=COUNT, language="en-GB"))
    await caller.hears(1.2)
    caller.say(said)
    opening = await worker.heard(Turn, timeout_s=30)
    assert opening.interrupted == interrupts, f"{opening}"


async def test_a_caller_who_types_is_never_silent_and_is_then_asked_with_the_settings_line(
    greet: Greet, sandbox: Sandbox
) -> None:
    """Each answer takes longer than both limits, and the next text comes before it."""
    lines = {"en": {"idle_prompt": f"**{ASKED}**"}}
    worker, caller = await greet({"language": "en-GB"}, user_idle_prompt_s=1.5, user_idle_end_s=4, spoken_lines=lines)
    await sandbox.control("replies", {"replies": ["It is noon."] * 10})
    await sandbox.control("faults", {"service": "groq", "kind": "latency", "latency_ms": 4500, "count": 10})
    for n in range(4):
        await caller.type(f"Question {n}?")
        await asyncio.sleep(1.2)
    assert (await worker.heard(Stopped, timeout_s=40)).cause == "user_idle"
    said = after_the_greeting(worker)
    answered = said.index("It is noon.")
    assert not any(said[:answered]), f"{said}"
    assert ASKED in said[answered:]
    assert lines_in("en").idle_prompt not in said


def after_the_greeting(worker: Worker) -> list[str]:
    return [m.heard_text for m in worker.said if isinstance(m, Turn)][1:]
