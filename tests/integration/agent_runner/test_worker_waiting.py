"""Sounds of a caller who waits for an answer, at the caller's ear: nothing is lost or said twice."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import web

from agent_runner.domain.tool_calls import OWED_S
from agent_runner.link.messages import Stopped, ToolCall, Turn
from contracts.lines import lines_in
from contracts.tools import RecordedTool
from tests.integration.agent_runner.worker_stage import LOUD, Fork, Greet, New, Person, Sandbox, Worker, go
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

LINES = lines_in(None)
HUM = "Mmmm mmmm."
TABLE = "Your table is number seven."
BOOK = {"tool_calls": [{"name": "book", "arguments": {}}]}


@pytest.fixture
async def booking() -> AsyncIterator[RecordedTool]:
    """A tool that takes 6 s."""

    async def book(_request: web.Request) -> web.Response:
        await asyncio.sleep(6)
        return web.json_response({"table": 7})

    app = web.Application()
    app.router.add_post("/book", book)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/book"
    yield RecordedTool(name="book", description="Books.", parameters={"type": "object", "properties": {}}, url=url)
    await runner.cleanup()


def spoken(worker: Worker) -> list[str]:
    """What the agent said after its first line."""
    return [m.heard_text for m in worker.said if isinstance(m, Turn)][1:]


async def silent_again(caller: Person, for_s: float = 0.5) -> None:
    """Wait until the agent has said something more and is silent."""
    since = time.monotonic()

    def is_over() -> bool:
        loud = [at for at, s in caller._heard if at > since and np.abs(s.astype(np.int32)).max(initial=0) > LOUD]  # pyright: ignore[reportPrivateUsage]
        return bool(loud) and time.monotonic() - loud[-1] > for_s

    await until(is_over, 15, "the agent said nothing, or did not stop")


async def test_a_hum_after_the_filler_costs_neither_the_tools_result_nor_an_apology(
    greet: Greet, sandbox: Sandbox, booking: RecordedTool
) -> None:
    await sandbox.control("replies", {"replies": [BOOK, TABLE]})
    worker, caller = await greet({"tools": (booking,)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=0.5)
    await caller.type("Book a table.")
    await silent_again(caller)
    await sandbox.control("faults", {"service": "assemblyai", "kind": "unheard", "count": 1})
    caller.say(HUM)
    await worker.heard(ToolCall, 2)
    ended_at = time.monotonic()
    await until(lambda: spoken(worker), 25)
    assert spoken(worker) == [TABLE]
    assert time.monotonic() - ended_at < OWED_S, "the result waited for the end of an empty turn"
    assert len(await sandbox.asked()) == 2


async def test_a_hum_after_the_bridge_does_not_cancel_the_answer_to_the_open_question(
    fork: Fork, livekit: LiveKitServer, sandbox: Sandbox, session: str, person: New
) -> None:
    history = [{"role": "assistant", "content": "Hello."}, {"role": "user", "content": "What time is it?"}]
    memory = os.memfd_create("history")
    os.write(memory, json.dumps(history).encode())
    await sandbox.control("replies", {"replies": ["It is noon."]})
    await sandbox.control("faults", {"service": "groq", "kind": "latency", "latency_ms": 4500, "count": 1})
    worker = await fork()
    caller = await person().enter(session)
    worker.send(
        go(livekit, session, epoch=2, opening_line=None, bridge="Sorry.", has_history=True, is_asked=True), memory
    )
    os.close(memory)
    await silent_again(caller, 0.3)
    await sandbox.control("faults", {"service": "assemblyai", "kind": "unheard", "count": 1})
    caller.say(HUM)
    await until(lambda: "It is noon." in spoken(worker), 15)
    await asyncio.sleep(5)  # an apology would come
    assert spoken(worker) == ["It is noon."]
    assert len(await sandbox.asked()) == 1


async def test_no_filler_comes_into_what_the_caller_says_while_a_tool_runs(
    greet: Greet, sandbox: Sandbox, booking: RecordedTool
) -> None:
    await sandbox.control("transcripts", {"texts": ["And my number is."]})
    await sandbox.control("replies", {"replies": [BOOK, "Noted.", TABLE]})
    worker, caller = await greet(
        {"tools": (booking,)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=1, smart_turn=False, aggregation_timeout=3
    )
    await caller.type("Book a table.")
    await worker.heard(ToolCall)
    before = caller.loud_s
    caller.say("And my number is.")
    await until(lambda: has_been_asked(sandbox, 2), 15)
    assert caller.loud_s == before, "the agent spoke into the caller's turn"
    await until(lambda: TABLE in " ".join(spoken(worker)), 20)


async def test_a_yes_to_an_answer_that_had_no_words_is_heard(greet: Greet, sandbox: Sandbox) -> None:
    await sandbox.control("transcripts", {"texts": ["Okay?"]})
    await sandbox.control("replies", {"replies": ["\N{THUMBS UP SIGN}", "Yes, it is booked."]})
    worker, caller = await greet()
    await caller.type("Thanks.")
    await until(lambda: has_been_asked(sandbox, 1), 10)
    await asyncio.sleep(1)
    caller.say("Okay?")
    await until(lambda: "Yes, it is booked." in spoken(worker), 15)


async def test_a_caller_who_has_left_the_loudspeaker_on_is_not_there(greet: Greet, sandbox: Sandbox) -> None:
    """The question whether the caller is there comes back from the loudspeaker, as sound and as words."""
    await sandbox.control("transcripts", {"texts": [LINES.idle_prompt] * 20})
    worker, caller = await greet(user_idle_prompt_s=2, user_idle_end_s=7, bot_interruption_timeout=10)
    caller.on_speakerphone(-12)
    assert (await worker.heard(Stopped, timeout_s=25)).cause == "user_idle"
    assert spoken(worker).count(LINES.idle_prompt) == 1


async def has_been_asked(sandbox: Sandbox, times: int) -> bool:
    return len(await sandbox.asked()) >= times
