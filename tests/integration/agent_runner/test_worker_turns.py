"""Silence, long turns and interruptions."""

import asyncio
import time

import numpy as np

from agent_runner.link.messages import Stopped, Turn
from tests.integration.agent_runner.worker_stage import LOUD, Fork, New, Person, Sandbox, go, resemblance
from tests.support.servers import LiveKitServer

LONG = "One two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen. "
TONE = (8_000 * np.sin(np.arange(48_000) * 2 * np.pi * 1000 / 48_000)).astype(np.int16)  # 1 s
TO_THE_EAR_S = 0.35  # the caller's voice to the agent, the agent's silence to the caller: two jitter buffers, one queue


async def test_a_silent_caller_is_asked_and_then_the_call_ends_with_a_word(
    fork: Fork, livekit: LiveKitServer, session: str, person: New
) -> None:
    worker = await fork(user_idle_prompt_s=1.5, user_idle_end_s=5, user_idle_goodbye="Goodbye then.")
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    began = time.monotonic()
    assert (await worker.heard(Turn, 2)).heard_text == "Are you still there?"
    assert (await worker.heard(Stopped)).cause == "user_idle"
    assert 4 < time.monotonic() - began < 9
    assert await worker.gone() == 0
    assert caller.loud_s > 1.5  # all three lines


async def test_a_caller_who_types_is_there_and_is_asked_again_after_the_next_silence(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": ["Take your time."]})
    worker = await fork(user_idle_prompt_s=1.5, user_idle_end_s=5)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn, 2)
    await caller.type("I am reading.")
    asked = await worker.heard(Turn, 4)
    typed_at = time.monotonic()
    assert asked.heard_text == "Are you still there?"
    assert (await worker.heard(Stopped)).cause == "user_idle"
    assert time.monotonic() - typed_at > 2
    turns = [(m.user_text, m.heard_text) for m in worker.said if isinstance(m, Turn)][:4]
    assert turns[1:3] == [("", "Are you still there?"), ("I am reading.", "Take your time.")]


async def test_a_turn_without_an_end_is_ended_and_its_answer_can_be_interrupted(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["I talk and talk."] * 9})
    await sandbox.control("replies", {"replies": [LONG] * 4})
    worker = await fork(max_turn_s=2, vad_stop_secs=3)  # no pause is long enough to end it
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    lasts_s = caller.say(LONG * 3)
    began = time.monotonic()
    while len(await sandbox.asked()) < 2:
        assert time.monotonic() - began < lasts_s, "the agent waited for the end"
        await asyncio.sleep(0.05)
    first = await worker.heard(Turn, 2)  # the talk that went on was another turn, and interrupted the answer
    assert first.user_text.startswith("I talk")
    assert first.interrupted
    assert first.heard_text != LONG.strip()
    asked = await sandbox.asked()
    assert asked[0][-1]["content"].startswith("I talk")
    assert asked[1][-1]["role"] == "user"


async def test_an_answering_machine_gets_one_whole_message_and_the_call_ends(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """Its greeting is one turn and its tone no word: the message is said whole, and nothing is asked of a machine."""
    greeting = "You have reached Anna. I am not at home. Please leave a message after the tone."
    await sandbox.control("transcripts", {"texts": [greeting]})
    goodbye = {"tool_calls": [{"name": "end_call", "arguments": {"goodbye": "Please call us back. Goodbye."}}]}
    await sandbox.control("replies", {"replies": [goodbye]})
    worker = await fork(vad_stop_secs=1.5, smart_turn=False)  # its sentences are one turn
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello.", end_call=True))
    await worker.heard(Turn)
    caller.say("You have reached our number. I am not at home. Please leave a message after the tone.")
    await caller.has_spoken()
    caller.play(TONE)
    assert (await worker.heard(Stopped)).cause == "agent_ended"
    turns = [m for m in worker.said if isinstance(m, Turn)]
    assert [turn.user_text for turn in turns if turn.user_text] == [greeting]
    assert not any("Sorry" in turn.heard_text for turn in turns)
    message = await sandbox.voice("Please call us back. Goodbye.", "Ashley", 1.0)
    assert resemblance(caller.recording, message) > 0.6


async def test_an_answering_machines_tone_over_the_agents_message_costs_no_word_of_it(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    message = "This is Greenroom. Please call us back on Monday. We are open from nine to five."
    await sandbox.control("replies", {"replies": [message]})
    worker = await fork(user_idle_prompt_s=0, user_idle_end_s=3)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    await caller.type("Please leave a message after the tone.")  # its greeting; the tone comes late
    await caller.hears(0.8)
    caller.play(TONE)
    answer = await worker.heard(Turn, 2)
    assert (answer.heard_text, answer.interrupted) == (message, False)
    assert (await worker.heard(Stopped)).cause == "user_idle"
    turns = [m for m in worker.said if isinstance(m, Turn)]
    assert [turn.user_text for turn in turns if turn.user_text] == ["Please leave a message after the tone."]
    assert not any("Sorry" in turn.heard_text for turn in turns)


async def test_a_pause_in_a_dictated_number_does_not_end_the_turn(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["It is five five five", "oh one two.", "Yes."]})
    await sandbox.control("replies", {"replies": ["Good."] * 3})
    worker = await fork(smart_turn=False, dictation_wait_s=3)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    for words in ("It is five five five", "oh one two"):
        caller.say(words)
        await caller.has_spoken()
        await asyncio.sleep(0.5)
    number = await worker.heard(Turn, 2)
    assert (number.user_text, number.heard_text) == ("It is five five five. oh one two.", "Good.")
    caller.say("Yes please")
    answer = await worker.heard(Turn, 3)
    assert answer.user_text == "Yes."


async def test_a_question_mark_ends_a_turn_that_the_model_calls_incomplete(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["What did you just say?"]})
    await sandbox.control("replies", {"replies": ["Good."]})
    worker = await fork(smart_turn_stop_secs=20, user_turn_stop_timeout=20)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    caller.say("What did you just say?")
    await caller.has_spoken()
    turn = await worker.heard(Turn, 2, timeout_s=15)
    assert (turn.user_text, turn.heard_text) == ("What did you just say?", "Good.")


async def test_a_finished_turn_is_answered_after_the_silence_that_is_set(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """AGGREGATION_TIMEOUT with smart-turn, which calls this turn finished at once; also after a question mark."""
    await sandbox.control("transcripts", {"texts": ["Yes.", "Is it?"]})
    await sandbox.control("replies", {"replies": ["Good."] * 2})
    worker = await fork(aggregation_timeout=2.5)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    for n in (2, 3):
        caller.say("Yes please.")
        await caller.has_spoken()
        spoken_at = time.monotonic()
        assert (await worker.heard(Turn, n)).heard_text == "Good."
        await asyncio.sleep(1)  # until it is at the caller, too
        assert 2 < first_sound(caller, spoken_at) - spoken_at < 5


async def test_at_8_khz_a_short_answer_ends_its_turn_as_soon(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["Yes.", "Yes."]})
    await sandbox.control("replies", {"replies": ["Good."] * 2})
    worker = await fork(stt_sample_rate=8_000)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    took: list[float] = []
    for n in (2, 3):
        caller.say("Yes thanks.")  # smart-turn takes a flat "yes please" for unfinished
        await caller.has_spoken()
        began = time.monotonic()
        turn = await worker.heard(Turn, n)
        assert (turn.user_text, turn.heard_text) == ("Yes.", "Good.")
        await asyncio.sleep(0.5)  # until it is at the caller, too
        took.append(first_sound(caller, began) - began)
    assert min(took) < 1.5  # 5 without the turn's end


async def test_the_agent_falls_silent_within_300_ms_of_the_callers_speech(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """The best of at most three, which a busy host cannot spoil."""
    worker = await fork()
    caller = await person().enter(session)
    took: list[float] = []
    for n in range(3):
        session_turns = sum(isinstance(m, Turn) for m in worker.said)
        if n == 0:
            worker.send(go(livekit, session, opening_line=LONG))
            await caller.hears(0.8)
        else:
            await sandbox.control("replies", {"replies": [LONG]})
            await asyncio.sleep(0.5)
            caller.say("Please count for me now.")
            await caller.hears(0.8)
        spoke_at = time.monotonic()
        assert last_sound(caller, spoke_at - 1, spoke_at) > spoke_at - 0.5, "the agent was not speaking"
        caller.say("Stop it now, please, I have heard enough of that.")
        assert (await worker.heard(Turn, session_turns + 1)).interrupted
        await asyncio.sleep(1)
        took.append(last_sound(caller, spoke_at, spoke_at + 2) - spoke_at)
        if took[-1] < 0.3 + TO_THE_EAR_S:
            break
        await asyncio.sleep(4)
    assert min(took) < 0.3 + TO_THE_EAR_S


def first_sound(caller: Person, since: float) -> float:
    """When the agent was first heard after this."""
    return next(at for at, s in caller._heard if at > since and np.abs(s.astype(np.int32)).max(initial=0) > LOUD)  # pyright: ignore[reportPrivateUsage]


def last_sound(caller: Person, since: float, until: float) -> float:
    """When the agent was last heard between these instants."""
    heard = [at for at, s in caller._heard if since < at < until and np.abs(s.astype(np.int32)).max(initial=0) > LOUD]  # pyright: ignore[reportPrivateUsage]
    return max(heard, default=since)
