"""Sounds of a caller who waits for an answer, at the caller's ear: nothing is lost or said twice."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from aiohttp import web

from agent_runner.domain.tool_calls import OWED_S
from agent_runner.link.messages import Speak, Stopped, ToolCall, Turn
from contracts.lines import lines_in
from contracts.tools import RecordedTool
from tests.integration.agent_runner.worker_stage import LOUD, Fork, Greet, New, Person, Sandbox, Worker, go
from tests.support.servers import LiveKitServer
from tests.support.waiting import until

LINES = lines_in(None)
HUM = "Mmmm mmmm."
TABLE = "Your table is number seven."
BOOK = {"tool_calls": [{"name": "book", "arguments": {}}]}


@asynccontextmanager
async def booking_by(wait: Callable[[], Awaitable[object]]) -> AsyncIterator[RecordedTool]:
    """A tool that answers after this wait."""

    async def book(_request: web.Request) -> web.Response:
        await wait()
        return web.json_response({"table": 7})

    app = web.Application()
    app.router.add_post("/book", book)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/book"
    schema = {"type": "object", "properties": {}}
    yield RecordedTool(name="book", description="Books.", parameters=schema, url=url, timeout_s=30)
    await runner.cleanup()


@pytest.fixture
async def booking() -> AsyncIterator[RecordedTool]:
    """A tool that takes 6 s."""
    async with booking_by(lambda: asyncio.sleep(6)) as tool:
        yield tool


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


async def test_no_filler_comes_into_what_the_caller_says_while_a_tool_runs(greet: Greet, sandbox: Sandbox) -> None:
    """The filler is due at 2.5 s, and the caller's turn lasts to about 4.5 s: 3 s after the last word."""
    is_booked = asyncio.Event()
    await sandbox.control("transcripts", {"texts": ["And my number is."]})
    await sandbox.control("replies", {"replies": [BOOK, "Noted.", TABLE]})
    async with booking_by(is_booked.wait) as tool:
        turns = {"smart_turn": False, "aggregation_timeout": 3}
        worker, caller = await greet({"tools": (tool,)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=2.5, **turns)
        await asyncio.sleep(0.5)  # until the caller has heard the greeting to its end
        before = caller.loud_s
        await caller.type("Book a table.")
        await worker.heard(ToolCall)
        caller.say("And my number is.")
        # The answer comes late, so that only a filler can be heard before it.
        await sandbox.control("faults", {"service": "groq", "kind": "latency", "latency_ms": 2000, "count": 1})
        await until(lambda: has_been_asked(sandbox, 2), 15)
        assert caller.loud_s == before, "the agent spoke into the caller's turn"
        await until(lambda: "Noted." in " ".join(spoken(worker)), 15)
        is_booked.set()
        await until(lambda: TABLE in " ".join(spoken(worker)), 20)


@pytest.mark.parametrize("filler_s", [0, 1.5], ids=["after the question", "after the filler behind the question"])
async def test_a_yes_while_a_tool_runs_answers_what_the_model_has_asked(
    greet: Greet, sandbox: Sandbox, filler_s: float
) -> None:
    is_booked = asyncio.Event()
    await sandbox.control("transcripts", {"texts": ["Yes."]})
    await sandbox.control("replies", {"replies": [{"text": "Is it for two?", **BOOK}, "For two, then.", TABLE]})
    async with booking_by(is_booked.wait) as tool:
        worker, caller = await greet({"tools": (tool,)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=filler_s)
        await caller.type("Book a table.")
        for _ in range(2 if filler_s else 1):
            await silent_again(caller)
        before = caller.loud_s
        caller.say("Yes.")
        await until(lambda: "For two, then." in spoken(worker), 15)
        assert caller.loud_s - before > 0.4, "the caller heard no answer to the yes"
        assert len([m for m in worker.said if isinstance(m, ToolCall)]) == 1, "it was said while the tool ran"
        is_booked.set()
        await until(lambda: TABLE in spoken(worker), 15)
    turns = [(m.user_text, m.heard_text) for m in worker.said if isinstance(m, Turn)][1:]
    assert turns == [("Book a table.", "Is it for two?"), ("Yes.", "For two, then."), ("", TABLE)]


async def test_what_is_said_before_and_after_a_tools_result_is_one_turn_and_a_notice_between_them_another(
    greet: Greet, sandbox: Sandbox
) -> None:
    is_booked = asyncio.Event()
    await sandbox.control("replies", {"replies": [{"text": "Let me see.", **BOOK}, TABLE]})
    async with booking_by(is_booked.wait) as tool:
        worker, caller = await greet({"tools": (tool,)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=0)
        await caller.type("Book a table.")
        await silent_again(caller)
        worker.send(Speak(text="Our time is almost up."))
        notice = await worker.heard(Turn, 2)
        is_booked.set()
        answer = await worker.heard(Turn, 3)
    assert (notice.n, notice.user_text, notice.heard_text) == (2, "", "Our time is almost up.")
    assert (answer.n, answer.user_text, answer.heard_text) == (1, "Book a table.", f"Let me see. {TABLE}")
    assert {m.turn for m in worker.said if isinstance(m, ToolCall)} == {1}


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
