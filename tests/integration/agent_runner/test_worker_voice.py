"""Texts that the voice refuses, completes without audio, or would not take at their length."""

import asyncio
import time
from typing import Any

from agent_runner.link.messages import Failed, Faulty, Heard, Recovered, Speak, Stopped, Turn, Unanswered
from contracts.lines import lines_in
from tests.integration.agent_runner.worker_stage import Fork, New, Sandbox, Worker, go
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

CLAUSE = "these are some words of a long sentence, "
QUESTION = "How are you doing today my friend?"


async def fault(sandbox: Sandbox, kind: str, **more: Any) -> None:
    await sandbox.control("faults", {"service": "inworld", "kind": kind, **more})


async def texts(sandbox: Sandbox) -> list[str]:
    """What the voice took."""
    return [r["body"]["text"] for r in (await sandbox.state())["last_requests"] if r["path"] == "send_text"]


async def said(worker: Worker, text: str, times: int = 1, within_s: float = 12) -> None:
    deadline = time.monotonic() + within_s
    while sum(isinstance(m, Turn) and text in m.heard_text for m in worker.said) < times:
        assert time.monotonic() < deadline, f"{worker.said}"
        await asyncio.sleep(0.05)


async def test_a_text_that_is_refused_or_completes_without_audio_is_said_all_the_same(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await fault(sandbox, "inaudible", count=1)
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello there, my friend."))
    assert (await worker.heard(Turn)).heard_text == "Hello there, my friend."
    assert any(isinstance(m, Faulty) for m in worker.said)
    for kind, count in (("refused", 1), ("refused", 2), ("inaudible", 2)):
        loud_s = caller.loud_s
        await fault(sandbox, kind, count=count)
        worker.send(Speak(text=f"This was {kind} {count} times."))
        await said(worker, f"This was {kind} {count} times.", within_s=5)
        await until(lambda loud_s=loud_s: caller.loud_s - loud_s > 1)
    assert not worker.faulty


async def test_a_voice_without_audio_is_left_for_the_second_endpoint(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    second = sandbox.config().inworld_base_url.replace("127.0.0.1", "localhost")
    await fault(sandbox, "inaudible", count=3)
    worker = await fork(inworld_fallback_base_url=second)
    caller = await person().enter(session)
    began = time.monotonic()
    worker.send(go(livekit, session, opening_line="Hello there, my friend."))
    assert (await worker.heard(Turn, timeout_s=8)).heard_text == "Hello there, my friend."
    assert time.monotonic() - began < 6
    await until(lambda: caller.loud_s > 0.7)
    assert not worker.faulty
    assert not [m for m in worker.said if isinstance(m, Failed)]


async def test_a_caller_is_told_that_what_the_agent_said_was_lost_and_the_call_goes_on(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """First the opening line, then an answer, in every form that the voice is asked for."""
    sorry = lines_in(None).sorry
    await sandbox.control("replies", {"replies": ["I am fine.", "It is noon."]})
    await fault(sandbox, "inaudible", count=3)
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello there, my friend."))
    await said(worker, sorry)
    opening = await worker.heard(Turn)
    assert (opening.n, opening.heard_text, opening.interrupted) == (0, "", True)
    await until(lambda: caller.loud_s > 1)
    await fault(sandbox, "inaudible", count=3)
    await caller.type("How are you?")
    await said(worker, sorry, times=2)
    await caller.type("What time is it?")
    await said(worker, "It is noon.")
    assert [(m.provider, m.broke_off) for m in worker.said if isinstance(m, Unanswered)] == [("tts", False)] * 2
    asked = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "assistant"]
    assert asked == [sorry, sorry], "the context claims nothing that was lost"
    assert not worker.faulty


async def test_a_voice_that_stays_without_audio_ends_the_call_and_is_not_billed(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    """Without a word of the caller: what says that the opening line was lost is lost, too."""
    await fault(sandbox, "inaudible")
    worker = await fork()
    await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    faulty = await worker.heard(Faulty)
    assert faulty.ago_ms < 3_000
    assert (await worker.heard(Failed, timeout_s=10)).provider == "tts"
    assert not any(isinstance(m, Recovered) for m in worker.said)
    assert (await worker.heard(Stopped, timeout_s=10)).detail == "tts"


async def test_long_texts_are_spoken_and_only_what_was_heard_of_the_greeting_stays_in_the_context(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("transcripts", {"texts": ["Stop it please.", "And now?"]})
    sentence = (CLAUSE * 40)[:1399] + "."
    await sandbox.control("replies", {"replies": [sentence]})
    opening = (CLAUSE * 40)[:998] + "s."  # 1,000 characters
    worker = await fork(llm_max_tokens=1_000, max_answer_s=0)
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line=opening))
    await worker.heard(Heard)
    await caller.hears(2)
    assert "".join(await texts(sandbox)).rstrip() == opening
    caller.say(QUESTION)
    first = await worker.heard(Turn)
    assert first.interrupted
    assert 10 < len(first.heard_text) < 300
    assert opening.startswith(first.heard_text)
    asked = await until(sandbox.asked, 10)
    greeting = next(m["content"] for m in asked[0] if m["role"] == "assistant")
    assert greeting == first.heard_text
    loud_s = caller.loud_s
    await until(lambda: caller.loud_s - loud_s >= 1, 15)  # the model writes the whole sentence first
    deadline = time.monotonic() + 10
    while sentence not in "".join(sent := await texts(sandbox)):
        assert time.monotonic() < deadline, sent
        await asyncio.sleep(0.05)
    assert max(len(text) for text in sent) <= 1_000
