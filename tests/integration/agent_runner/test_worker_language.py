"""A call in another language, and a caller who is silent in it, on hold, or waits for a tool."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import numpy as np
from aiohttp import web

from agent_runner.link.messages import Stopped, Turn
from contracts.lines import TABLE
from contracts.tools import RecordedTool
from tests.integration.agent_runner.worker_stage import (
    LOUD,
    Fork,
    Greet,
    New,
    Person,
    Sandbox,
    go,
    without_pauses,
)
from tests.support.servers import LiveKitServer


def sent(state: dict[str, Any], path: str) -> list[dict[str, Any]]:
    return [request["body"] for request in state["last_requests"] if request["path"] == path]


async def test_a_session_in_chinese_is_heard_thought_and_spoken_in_it(greet: Greet, sandbox: Sandbox) -> None:
    await sandbox.control("transcripts", {"texts": ["今天天气怎么样？"]})
    await sandbox.control("replies", {"replies": ["今天是晴天。明天会下雨！"]})
    focus = {"stt_voice_focus": "near-field", "stt_voice_focus_threshold": 0.4}
    worker, caller = await greet(
        {"opening_line": "您好。", "language": "zh-CN"}, user_idle_prompt_s=1.5, user_idle_end_s=5, **focus
    )
    caller.say("What is the weather like?")

    answer = await worker.heard(Turn, 2)
    asked = await worker.heard(Turn, 3)
    # The sandbox's voice spells Chinese characters: its goodbye takes 13 s.
    assert (await worker.heard(Stopped, timeout_s=40)).cause == "user_idle"

    assert answer.user_text == "今天天气怎么样？"
    assert asked.heard_text == TABLE["zh"].idle_prompt
    state = await sandbox.state()
    (query,) = sent(state, "/v3/ws")
    assert query["language_codes"] == '["zh"]'
    assert (query["voice_focus"], query["voice_focus_threshold"]) == ("near-field", "0.4")
    assert "Speak Chinese (zh-CN)" in (await sandbox.asked())[0][0]["content"]
    assert {order.get("language") for order in sent(state, "create")} == {"zh-CN"}
    texts = [message["text"].strip() for message in sent(state, "send_text")]
    assert texts == ["您好。", "今天是晴天。", "明天会下雨！", TABLE["zh"].idle_prompt, TABLE["zh"].idle_goodbye]


async def test_a_session_in_german_keeps_its_answer_at_a_genau_and_has_its_own_lines(
    greet: Greet, sandbox: Sandbox
) -> None:
    answer = "Heute ist es sonnig und warm, morgen regnet es im Norden und am Abend auch im Süden des Landes."
    await sandbox.control("transcripts", {"texts": ["Wie wird das Wetter?", "Genau."]})
    await sandbox.control("replies", {"replies": [answer]})
    worker, caller = await greet(
        {"opening_line": "Guten Tag.", "language": "de"}, user_idle_prompt_s=3, user_idle_end_s=20
    )
    await asyncio.sleep(0.5)  # until the first line is at the caller, too
    begun_at = time.monotonic()
    caller.say("How will the weather be?")
    await caller.hears(1)
    caller.say("Exactly.")
    told = await worker.heard(Turn, 2)
    heard, _ = without_pauses(caller.heard_since(begun_at))
    prompt = await worker.heard(Turn, 3)

    assert (told.user_text, told.heard_text, told.interrupted) == ("Wie wird das Wetter?", answer, False)
    assert len(heard) > 1, "the sound paused the agent"
    assert prompt.heard_text == TABLE["de"].idle_prompt
    state = await sandbox.state()
    (query,) = sent(state, "/v3/ws")
    assert query["language_codes"] == '["de"]'
    assert "Speak German (de)" in (await sandbox.asked())[0][0]["content"]
    assert len(await sandbox.asked()) == 1
    assert {order.get("language") for order in sent(state, "create")} == {"de-DE"}
    texts = [message["text"].strip() for message in sent(state, "send_text")]
    assert texts == ["Guten Tag.", answer, TABLE["de"].idle_prompt]


async def test_nobody_is_asked_while_music_plays_on_hold(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    worker = await fork(user_idle_prompt_s=2, user_idle_end_s=4, vad_confidence=1)  # no sound is speech
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello."))
    await worker.heard(Turn)
    lasts_s = caller.play(chords(6))
    began = time.monotonic()
    assert (await worker.heard(Turn, 2)).heard_text == "Are you still there?"
    assert time.monotonic() - began > lasts_s + 1
    assert (await worker.heard(Stopped)).cause == "user_idle"


async def test_nobody_is_asked_while_a_tool_runs(greet: Greet, sandbox: Sandbox) -> None:
    async def book(_request: web.Request) -> web.Response:
        await asyncio.sleep(8)  # the agent says meanwhile that it takes a moment
        return web.json_response({"booked": True})

    app = web.Application()
    app.router.add_post("/book", book)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    schema = {"type": "object", "properties": {}}
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/book"
    tool = RecordedTool(name="book", description="Books.", parameters=schema, url=url)
    await sandbox.control("transcripts", {"texts": ["Book it, please."]})
    await sandbox.control(
        "replies", {"replies": [{"tool_calls": [{"name": "book", "arguments": {}}]}, "It is booked."]}
    )
    worker, caller = await greet(
        {"tools": (tool,)}, user_idle_prompt_s=2, user_idle_end_s=3, tool_allowed_hosts="127.0.0.1"
    )
    caller.say("Book it, please.")
    await caller.has_spoken()
    spoken_at = time.monotonic()

    turn = await worker.heard(Turn, 2)
    await runner.cleanup()
    assert time.monotonic() - spoken_at > 8, f"{worker.said}"
    assert longest_silence(caller, spoken_at) < 5, "what a tool takes is not all silence"
    sounds, _ = without_pauses(caller.heard_since(spoken_at))
    filler = await sandbox.voice(TABLE["en"].tool_filler, "Ashley", 1.0)
    assert sum(map(len, sounds)) > 2 * len(filler), "two filler lines and the answer"

    assert turn.heard_text.endswith("It is booked.")
    assert TABLE["en"].idle_prompt not in turn.heard_text


def longest_silence(caller: Person, since: float) -> float:
    """Seconds without a sound of the agent's, from this until it was heard last."""
    loud = [at for at, s in caller._heard if at > since and np.abs(s.astype(np.int32)).max(initial=0) > LOUD]  # pyright: ignore[reportPrivateUsage]
    return max(after - before for before, after in pairwise([since, *loud]))


def chords(lasts_s: float) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Three notes and a beat, at 48 kHz, as loud as music on hold; too high for the sandbox to hear words in them."""
    at = np.arange(round(lasts_s * 48_000)) / 48_000
    notes = sum(np.sin(2 * np.pi * hz * at) for hz in (5_200, 6_100, 7_000))
    return (2_000 * notes * (0.6 + 0.4 * np.cos(2 * np.pi * 2 * at))).astype(np.int16)
