"""What the voice is sent of the model's text, and what the context and the log hold of it."""

import asyncio
import json
import os
import time
from typing import Any

import pytest

from agent_runner.domain.context_budget import SUMMARY
from agent_runner.link.messages import Stopped, Turn
from contracts.tools import RecordedTool
from tests.integration.agent_runner.worker_stage import Fork, Greet, New, Person, Sandbox, Worker, go
from tests.support.servers import LiveKitServer

RULES = (
    (
        "1. **Rome** *sighs* is 🙂 `nice`. <think>No. Not this!</think>[laughs warmly] [HAPPY] See [it](https://a.b/c).",
        "1. Rome is nice. [happy] See it. ",
        "1. Rome is nice. See it.",
    ),
    (
        "<thought>No.</thought>Seat [A12] &amp; *Smile* *lacht* (Breathless), x<y and z>w, see <https://www.example.com/a>.",
        "Seat A12 & Smile (Breathless), x<y and z>w, see example.com. ",
        "Seat A12 & Smile (Breathless), x<y and z>w, see example.com.",
    ),
    ("Wait <break time='1s'/> (chuckles) at www.example.com/x?", "Wait at example.com? ", "Wait at example.com?"),
)


WORDLESS = ("😀", "…", "—", "*smiles*")


async def texts(sandbox: Sandbox, since: int = 0) -> list[str]:
    return (await sandbox.state())["voice_texts"][since:]


async def ask(worker: Worker, caller: Person, turns: int, timeout_s: float = 12) -> Turn:
    """Type something; the turn that is reported then."""
    await caller.type("What do you think?")
    return await worker.heard(Turn, turns, timeout_s=timeout_s)


async def test_the_rules_hold_whatever_the_model_writes(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": [text for text, *_ in RULES] + [*WORDLESS, "Good."]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="[happy] **Hello** 😀 there."))
    assert (await worker.heard(Turn)).heard_text == "Hello there."
    assert await texts(sandbox) == ["[happy] Hello there. "]
    for n, (_, sent, heard) in enumerate(RULES):
        count = len(await texts(sandbox))
        turn = await ask(worker, caller, n + 2)
        assert (turn.heard_text, "".join(await texts(sandbox, count))) == (heard, sent)
    await caller.hears_line(await sandbox.voice(RULES[-1][-1], "Ashley", 1.0))
    await asyncio.sleep(0.3)
    count, loud_s = len(await texts(sandbox)), caller.loud_s
    for n in range(len(WORDLESS)):  # nothing to say: no apology, no repeated question, and the call goes on
        await ask_in_vain(sandbox, caller, len(RULES) + 1 + n)
    assert await texts(sandbox, count) == []
    assert caller.loud_s - loud_s < 0.3, "nothing is heard, but for the end of the answer before"
    turn = await ask(worker, caller, 1 + len(RULES) + len(WORDLESS) + 1)
    assert (turn.heard_text, await texts(sandbox, count)) == ("Good.", ["Good. "])
    assert not [m for m in worker.said if isinstance(m, Stopped)]
    said = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "assistant"]
    assert said == ["Hello there.", *[heard for *_, heard in RULES]]


async def ask_in_vain(sandbox: Sandbox, caller: Person, requests: int) -> None:
    await caller.type("What do you think?")
    until = time.monotonic() + 10
    while len(await sandbox.asked()) < requests:
        assert time.monotonic() < until
        await asyncio.sleep(0.05)
    await asyncio.sleep(1.5)
    assert len(await sandbox.asked()) == requests  # it is not asked again


async def test_an_opening_without_words_is_none(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    await sandbox.control("replies", {"replies": ["Yes?"]})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="*** \u200b…"))
    await asyncio.sleep(2)
    assert (await ask(worker, caller, 1)).heard_text == "Yes?"
    assert [m["role"] for m in (await sandbox.asked())[0]] == ["system", "user"]


async def test_an_answer_ends_with_a_sentence_when_it_is_too_long_or_cut(greet: Greet, sandbox: Sandbox) -> None:
    """MAX_ANSWER_S, and a token limit that a model spends on thoughts."""
    long = "My first sentence is here. My second follows it. My third is one too many. And so on, and on."
    cut = {"text": "One and two. And three and four and five.", "reasoning_tokens": 12}
    await sandbox.control("replies", {"replies": [long, cut]})
    worker, caller = await greet(max_answer_s=3, llm_max_tokens=8, llm_reasoning_tokens=10)
    assert (await ask(worker, caller, 2)).heard_text == "My first sentence is here. My second follows it."
    assert (await ask(worker, caller, 3)).heard_text == "One and two."
    body = next(r["body"] for r in (await sandbox.state())["last_requests"][::-1] if r["service"] == "groq")
    assert ("max_tokens" in body, body["max_completion_tokens"]) == (False, 18)


async def test_tool_arguments_that_the_limit_cuts_are_asked_for_again_and_a_busy_model_gives_way(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    call = {"tool_calls": [{"name": "look_up", "arguments": {"name": "Ada Lovelace " * 5}}]}
    await sandbox.control("replies", {"replies": [call, call, "It is noted.", "Here I am."]})
    await sandbox.control("transcripts", {"texts": ["And you?"]})
    worker = await fork(llm_max_tokens=12, llm_reasoning_tokens=0, llm_model=None, llm_fallback_model=None, **BOTH)
    caller = await person().enter(session)
    tool = RecordedTool(name="look_up", description="x", url="http://127.0.0.1:1/x", parameters={}, timeout_s=1)
    worker.send(go(livekit, session, opening_line="Hello.", tools=(tool,)))
    await worker.heard(Turn)
    assert (await ask(worker, caller, 2)).heard_text == "It is noted."
    limits = [(b["model"], b["max_completion_tokens"]) for b in await bodies(sandbox)]
    assert limits == [("openai/gpt-oss-120b", 12), ("openai/gpt-oss-120b", 48), ("openai/gpt-oss-120b", 12)]
    busy = {"service": "groq", "kind": "status", "status": 429, "match": {"model": "openai/gpt-oss-120b"}}
    await sandbox.control("faults", busy)
    caller.say("What do you think?")
    turn = await worker.heard(Turn, 3)
    assert turn.heard_text == "Here I am."
    assert turn.stage_ms["llm"] < 1500  # neither model is waited for
    assert [b["model"] for b in await bodies(sandbox)][-2:] == ["openai/gpt-oss-120b", "openai/gpt-oss-20b"]


BOTH = {"llm_models": "openai/gpt-oss-120b,openai/gpt-oss-20b"}


async def bodies(sandbox: Sandbox) -> list[dict[str, Any]]:
    return [r["body"] for r in (await sandbox.state())["last_requests"] if r["service"] == "groq"]


@pytest.mark.parametrize("text", ["word " * 120, "谢谢您的来电。" * 20], ids=["en", "zh"])
async def test_a_long_call_is_summarised_and_tells_its_summary(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New, text: str
) -> None:
    history = [{"role": role, "content": text} for _ in range(10) for role in ("user", "assistant")]
    memory = os.memfd_create("history")
    os.write(memory, json.dumps(history).encode())
    worker = await fork(llm_context_tokens=2500)
    caller = await person().enter(session)
    worker.send(go(livekit, session, epoch=2, opening_line=None, bridge="Go on.", has_history=True), memory)
    os.close(memory)
    await worker.heard(Turn)
    told = [await ask(worker, caller, n) for n in (2, 3, 4)]
    first, last = (await bodies(sandbox))[0]["messages"], (await bodies(sandbox))[-1]["messages"]
    assert len(first) > len(history)  # it is not waited for
    summary = next(turn for turn in told if turn.summary)
    assert last[1] == {"role": "user", "content": SUMMARY + summary.summary}
    assert len(last) < 15
    assert 4 <= summary.summary_keeps <= 8
