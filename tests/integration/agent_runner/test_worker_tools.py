"""Tools in a real call: the language model calls, an HTTP server answers or misbehaves."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from agent_runner.domain.tool_rounds import MOST_ROUNDS
from agent_runner.link.messages import End, Stopped, ToolCall, Turn
from agent_runner.worker.providers.tool_requests import MAX_ANSWER_BYTES
from contracts.tools import RecordedTool
from tests.integration.agent_runner.worker_stage import Collector, Fork, Greet, New, Sandbox, Worker, go
from tests.support.llm_refusals import TOO_LARGE
from tests.support.servers import LiveKitServer
from tests.support.toolbox import toolbox
from tests.support.waiting import until

ASK_FOR_ROME = {"tool_calls": [{"name": "get_weather", "arguments": {"place": "Rome"}}]}


class ToolServer:
    """Answers by path; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any, str]] = []
        self.url = ""
        self.headers: list[Mapping[str, str]] = []
        self.bodies: list[bytes] = []
        self.methods: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.may_answer = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.asked.append((request.path, json.loads(body or b"{}"), request.headers["Idempotency-Key"]))
        self.headers.append(request.headers)
        self.bodies.append(body)
        self.methods.append(request.method)
        self.queries.append(dict(request.query))
        match request.path:
            case "/weather":
                return web.json_response({"sky": "clear", "degrees": 21})
            case "/slow":
                await asyncio.sleep(20)
            case "/booking":
                await asyncio.sleep(3)
                return web.json_response({"table": 7})
            case "/table":
                await self.may_answer.wait()
                return web.json_response({"table": 7})
            case "/waiting":
                await self.may_answer.wait()
                return web.Response(text="table 7 " * 480)
            case "/long":
                return web.Response(text="x" * (MAX_ANSWER_BYTES + 1))
            case "/moved":
                raise web.HTTPFound("/weather")
            case "/full":
                return web.Response(text="sunny " * (MAX_ANSWER_BYTES // 6))
            case "/text":
                return web.Response(text="plain words")
            case _:
                return web.json_response({"why": "no such thing", "request": len(self.asked)}, status=500)
        return web.Response()


@pytest.fixture
async def server() -> AsyncIterator[ToolServer]:
    server = ToolServer()
    app = web.Application()
    app.router.add_route("*", "/{path}", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


def tool(url: str, **changes: Any) -> RecordedTool:
    given: dict[str, Any] = {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
        "url": url,
        **changes,
    }
    return RecordedTool(**given)


async def call(url: str, allowed: str = "127.0.0.1", **changes: Any) -> dict[str, Any]:
    async with asyncio.timeout(5):
        found, _ = await toolbox([tool(url, **changes)], [], tool_allowed_hosts=allowed).call(
            "get_weather", {"place": "Rome"}
        )
    return found


async def test_an_answer_is_json_or_text_and_the_call_can_be_told_from_its_repetition(server: ToolServer) -> None:
    assert await call(f"{server.url}/weather") == {"result": {"sky": "clear", "degrees": 21}}
    assert await call(f"{server.url}/text") == {"result": "plain words"}
    first, second = (key for _, _, key in server.asked)
    assert first == second
    assert first.startswith("session_1:")


@pytest.mark.parametrize(
    ("path", "why"),
    [("slow", "no answer in 0.5 s"), ("long", "longer than"), ("moved", "redirect"), ("nothing", "status 500")],
)
async def test_what_goes_wrong_is_said_in_words(server: ToolServer, path: str, why: str) -> None:
    assert why in (await call(f"{server.url}/{path}", timeout_s=0.5 if path == "slow" else 4))["error"]


async def test_only_listed_hosts_are_called_and_an_address_inside_only_if_it_is_listed_itself(
    server: ToolServer,
) -> None:
    port = server.url.rpartition(":")[2]
    named = f"http://localhost:{port}/weather"
    assert "TOOL_ALLOWED_HOSTS" in (await call(f"{server.url}/weather", allowed=""))["error"]
    assert "no public address" in (await call(named, allowed="localhost"))["error"]
    assert server.asked == []
    assert "result" in await call(named, allowed="localhost,127.0.0.1,::1")


async def test_arguments_that_are_no_object_do_not_reach_the_tool(server: ToolServer) -> None:
    box = toolbox([tool(f"{server.url}/weather")], [], tool_allowed_hosts="127.0.0.1")
    arguments: Any = ["Rome"]
    assert "JSON object" in (await box.call("get_weather", arguments))[0]["error"]
    assert server.asked == []


async def test_nobody_there_is_an_answer_too() -> None:
    assert "could not be reached" in (await call("http://127.0.0.1:9/weather"))["error"]


@pytest.mark.parametrize(
    ("path", "told", "error"),
    [("weather", "clear", None), ("slow", "no answer in 1 s", "timeout"), ("nothing", "500", "500")],
)
async def test_the_model_calls_a_tool_and_answers_from_what_it_is_told(
    fork: Fork,
    livekit: LiveKitServer,
    sandbox: Sandbox,
    session: str,
    person: New,
    server: ToolServer,
    path: str,
    told: str,
    error: str | None,
) -> None:
    async with Collector() as collector:
        worker = await fork(tool_allowed_hosts="127.0.0.1", otel_exporter_otlp_endpoint=collector.url)
        caller = await person().enter(session)
        job = go(
            livekit, session, opening_line="Hello.",
            tools=(tool(f"{server.url}/{path}", timeout_s=1 if path == "slow" else 10),),
            traceparent=f"00-{'ab' * 16}-{'cd' * 8}-01",
        )  # fmt: skip
        worker.send(job)
        await worker.heard(Turn)
        await caller.type("How is the weather in Rome?")
        turn = await worker.heard(Turn, 2, timeout_s=15)
        worker.send(End())
        await worker.gone()
    assert turn.user_text == "How is the weather in Rome?"
    assert turn.heard_text.startswith("Here is what I found")
    assert [path for path, _, _ in server.asked] == [f"/{path}"]
    (result,) = [m["content"] for m in (await sandbox.asked())[-1] if m["role"] == "tool"]
    assert told in json.dumps(json.loads(result))
    assert [m.error for m in worker.said if isinstance(m, ToolCall) and m.outcome] == [error or ""]
    assert (await worker.heard(Stopped)).cause == "ended"
    [span] = [span for span in collector.spans if span.name == "execute_tool get_weather"]
    values = {each.key: each.value.string_value for each in span.attributes}
    assert (values["gen_ai.operation.name"], values.get("error.type")) == ("execute_tool", error)
    assert "Rome" not in str(span)
    assert span.trace_id.hex() == "ab" * 16
    assert span.parent_span_id in {each.parent_span_id for each in collector.spans if each.name.startswith("chat ")}
    assert span.parent_span_id in {each.span_id for each in collector.spans}


@pytest.mark.parametrize("goes_on", [False, True])
async def test_a_model_that_calls_and_calls_is_told_to_answer_and_asked_no_more_than_that(
    greet: Greet, sandbox: Sandbox, server: ToolServer, goes_on: bool
) -> None:
    rest = [ASK_FOR_ROME] * 3 if goes_on else ["It is clear."]
    await sandbox.control("replies", {"replies": [ASK_FOR_ROME] * (MOST_ROUNDS + 1) + rest})
    worker, caller = await greet({"tools": (tool(f"{server.url}/weather"),)}, tool_allowed_hosts="127.0.0.1")
    await caller.type("How is the weather in Rome?")
    turn = await worker.heard(Turn, 2, timeout_s=15)
    assert turn.heard_text == ("Sorry, I didn't get that. Could you say it again?" if goes_on else "It is clear.")
    assert len(server.asked) == MOST_ROUNDS
    asked = await sandbox.asked()
    assert len(asked) == MOST_ROUNDS + (3 if goes_on else 2)  # an empty answer is asked for again
    results = [m["content"] for m in asked[-1] if m["role"] == "tool"]
    assert ["not called" in result for result in results] == [False] * MOST_ROUNDS + [True]


@pytest.mark.parametrize(("calls_again", "after_s", "words"), [
    (False, 1, "Hello?"), (True, 1, "Hello?"), (False, 0.3, "In Rome, please."),
])  # fmt: skip
async def test_a_caller_who_speaks_while_a_tool_runs_cancels_nothing_and_hears_the_result_once(
    greet: Greet, sandbox: Sandbox, server: ToolServer, calls_again: bool, after_s: float, words: str
) -> None:
    to_hello = ASK_FOR_ROME if calls_again else {"text": "I am still at it."}
    await sandbox.control("transcripts", {"texts": ["Book a table in Rome.", words]})
    await sandbox.control("replies", {"replies": [ASK_FOR_ROME, to_hello, "Your table is number seven."]})
    worker, caller = await greet(
        {"tools": (tool(f"{server.url}/table", timeout_s=30),)}, tool_allowed_hosts="127.0.0.1"
    )
    caller.say("Book a table.")
    await worker.heard(ToolCall)
    await asyncio.sleep(after_s)
    caller.say(words)
    await until(lambda: has_been_asked(sandbox, 2), 20, "the caller's words did not reach the model")
    await asyncio.sleep(0.5)  # until the model's answer to them is there
    server.may_answer.set()
    turns = await _turn_with(worker, "number seven")
    await caller.hears_line(await sandbox.voice("Your table is number seven.", "Ashley", 1.0))
    assert [path for path, _, _ in server.asked] == ["/table"]
    assert [turn.user_text for turn in turns if turn.user_text] == ["Book a table in Rome.", words]
    last = json.dumps((await sandbox.asked())[-1])
    assert last.count('table\\\\\\": 7') + last.count('table\\": 7') >= 1
    assert "CANCELLED" not in last
    outcomes = [told.outcome for told in worker.said if isinstance(told, ToolCall)]
    assert outcomes == ["", "done"]


async def test_a_result_that_comes_while_the_caller_speaks_reaches_the_model_whole(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    await sandbox.control("transcripts", {"texts": ["Book a table in Rome.", "Hello, are you there?"]})
    await sandbox.control("replies", {"replies": [ASK_FOR_ROME, "Your table is number seven."]})
    worker, caller = await greet(
        {"tools": (tool(f"{server.url}/waiting"),)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=0
    )
    caller.say("Book a table.")
    await worker.heard(ToolCall)
    await asyncio.sleep(1)
    caller.say("Hello, are you still there, or have you gone away and left me here all alone?")
    await asyncio.sleep(1.5)
    server.may_answer.set()
    turns = await _turn_with(worker, "number seven")
    assert turns[-1].user_text == "Hello, are you there?"
    asked = (await sandbox.asked())[-1]
    assert asked[-1] == {"role": "user", "content": "Hello, are you there?"}
    assert json.dumps(asked).count("table 7 " * 480) == 1
    assert len(server.asked) == 1


async def test_two_tools_at_once_outlive_a_hello_and_both_results_are_answered_once(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    calls = [{"name": "get_weather", "arguments": {"place": place}} for place in ("Rome", "Paris")]
    await sandbox.control("transcripts", {"texts": ["Book both tables.", "Hello?"]})
    await sandbox.control("replies", {"replies": [{"tool_calls": calls}, "I am still at it.", "Both are booked."]})
    worker, caller = await greet(
        {"tools": (tool(f"{server.url}/booking"),)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=0
    )
    caller.say("Book a table.")
    await worker.heard(ToolCall, 2)
    await asyncio.sleep(1)
    caller.say("Hello?")
    turns = await _turn_with(worker, "Both are booked.")
    assert sum("Both are booked." in turn.heard_text for turn in turns) == 1
    assert sorted(body["place"] for _, body, _ in server.asked) == ["Paris", "Rome"]
    assert len({key for _, _, key in server.asked}) == 2
    assert [told.outcome for told in worker.said if isinstance(told, ToolCall)] == ["", "", "done", "done"]
    last = json.dumps((await sandbox.asked())[-1])
    assert last.count("table") >= 2
    assert "CANCELLED" not in last


async def test_a_sentence_before_a_tools_call_may_be_interrupted_and_the_call_does_not_stay_open(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    long = "I will look that up for you now, one two three four five six seven eight nine ten eleven twelve."
    call = {"text": long, "tool_calls": [{"name": "get_weather", "arguments": {"place": "Rome"}}]}
    await sandbox.control("transcripts", {"texts": ["How is the weather?", "Stop it."]})
    await sandbox.control("replies", {"replies": [call, "As you wish.", "It is clear in Rome.", "Bye."]})
    worker, caller = await greet(
        {"tools": (tool(f"{server.url}/weather"),)}, tool_allowed_hosts="127.0.0.1", llm_max_tokens=500
    )
    caller.say("How is the weather?")
    await caller.hears(0.8)
    caller.say("Stop it now, please.")
    await _turn_with(worker, "As you wish.")
    await asyncio.sleep(2)
    await sandbox.control("transcripts", {"texts": ["And now?"]})
    caller.say("And what about now?")
    deadline = time.monotonic() + 12
    while "And now?" not in json.dumps((last := (await sandbox.asked())[-1])[-3:]):
        assert time.monotonic() < deadline, f"{last}"
        await asyncio.sleep(0.05)
    assert "IN_PROGRESS" not in json.dumps(last)
    assert len(server.asked) == 1
    assert json.dumps(last).count("degrees") == 1, "the result reached the model"


async def test_a_tool_that_an_answer_would_have_called_is_not_called_once_the_caller_has_gone_on(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    """The model is asked again before it has answered; what it would have answered is discarded."""
    await sandbox.control("replies", {"replies": ["I will not.", ASK_FOR_ROME]})
    late = {"service": "groq", "kind": "latency", "latency_ms": 2_500, "stage": "request", "count": 1}
    worker, caller = await greet({"tools": (tool(f"{server.url}/weather"),)}, tool_allowed_hosts="127.0.0.1")
    await sandbox.control("faults", late)
    await caller.type("How is the weather?")
    await until(lambda: has_been_asked(sandbox, 1), 10)
    await caller.type("Never mind.")
    await _turn_with(worker, "I will not.")
    await asyncio.sleep(2.5)
    assert server.asked == []


@pytest.mark.parametrize(
    ("status", "refuser", "rounds", "at_once"), [(413, None, 4, 10), (400, "vLLM", 2, 5), (400, "Ollama", 2, 5)]
)
async def test_many_long_results_and_a_refusal_of_what_is_too_large_do_not_end_the_call(
    fork: Fork,
    livekit: LiveKitServer,
    sandbox: Sandbox,
    session: str,
    person: New,
    server: ToolServer,
    status: int,
    refuser: str | None,
    rounds: int,
    at_once: int,
) -> None:
    """Groq refuses what exceeds the account's tokens a minute with 413, again and again; other servers answer 400."""
    results = rounds * at_once
    calls = [{"name": "get_weather", "arguments": {"place": f"place {n}"}} for n in range(results)]
    together = [calls[n : n + at_once] for n in range(0, results, at_once)]
    asked_for = [reply for n, some in enumerate(together) for reply in ({"tool_calls": some}, f"Answer {n}.")]
    await sandbox.control("replies", {"replies": [*asked_for, f"Answer {rounds}."]})
    refusal = {"service": "groq", "kind": "status", "status": status, "above_tokens": 12_000}
    if refuser:
        refusal["body"] = TOO_LARGE[refuser]
    await sandbox.control("faults", refusal)
    worker = await fork(tool_allowed_hosts="127.0.0.1", llm_context_tokens=100_000)  # no summary takes a reply
    caller = await person().enter(session)
    worker.send(go(livekit, session, opening_line="Hello.", tools=(tool(f"{server.url}/full"),)))
    await worker.heard(Turn)
    for n in range(rounds + 1):
        await caller.type(f"Question {n}?")
        await _turn_with(worker, f"Answer {n}.")
    assert len(server.asked) == results
    bodies = [r["body"] for r in (await sandbox.state())["last_requests"] if r["service"] == "groq"]
    sizes = [body.get("too_long_to_keep") or len(str(body)) for body in bodies]
    assert max(sizes) > 5 * 16_000, "one request was too large"
    assert sizes[-1] < 5_000 + 1_350 * results, "later ones are not: a KiB of each result, and its call"
    assert not [m for m in worker.said if isinstance(m, Stopped)]


async def has_been_asked(sandbox: Sandbox, times: int) -> bool:
    return len(await sandbox.asked()) >= times


async def _turn_with(worker: Worker, text: str) -> list[Turn]:
    deadline = time.monotonic() + 20
    while not [m for m in worker.said if isinstance(m, Turn) and text in m.heard_text]:
        assert time.monotonic() < deadline, f"it said {worker.said}"
        await asyncio.sleep(0.05)
    return [m for m in worker.said if isinstance(m, Turn)]


async def test_a_tool_that_takes_long_is_no_silence_and_one_that_fails_twice_alike_is_not_called_again(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    await sandbox.control("transcripts", {"texts": ["Book a table in Rome.", ""]})
    await sandbox.control("replies", {"replies": [ASK_FOR_ROME, "Your table is number seven."]})
    worker, caller = await greet(
        {"tools": (tool(f"{server.url}/booking"),)}, tool_allowed_hosts="127.0.0.1", tool_filler_s=1
    )
    caller.say("Book a table.")
    await worker.heard(ToolCall)
    before = caller.loud_s
    await worker.heard(ToolCall, 2)
    assert caller.loud_s - before > 0.4, "nothing was said while the tool ran"
    booked = (await _turn_with(worker, "number seven"))[-1]
    assert (booked.user_text, booked.heard_text) == ("Book a table in Rome.", "Your table is number seven.")
    assert "moment" not in json.dumps((await sandbox.asked())[-1]), "the filler line is not a part of the conversation"


async def test_the_second_equal_failure_in_a_row_is_the_last(
    greet: Greet, sandbox: Sandbox, server: ToolServer
) -> None:
    await sandbox.control("replies", {"replies": [ASK_FOR_ROME, ASK_FOR_ROME, ASK_FOR_ROME, "I cannot find out."]})
    worker, caller = await greet({"tools": (tool(f"{server.url}/nothing"),)}, tool_allowed_hosts="127.0.0.1")
    await caller.type("How is the weather in Rome?")
    await _turn_with(worker, "I cannot find out.")
    assert len(server.asked) == 2
    assert len({key for _, _, key in server.asked}) == 1


@pytest.mark.parametrize(
    ("goodbye", "said"), [("Goodbye then.", "Goodbye then."), (None, "Thank you for calling. Goodbye.")]
)
async def test_an_agent_that_may_end_the_call_says_goodbye_and_ends_it(
    greet: Greet, sandbox: Sandbox, goodbye: str | None, said: str
) -> None:
    call = {"tool_calls": [{"name": "end_call", "arguments": {"goodbye": goodbye} if goodbye else {}}]}
    await sandbox.control("replies", {"replies": [call]})
    worker, caller = await greet({"end_call": True})
    await caller.type("That is all, goodbye.")
    assert (await worker.heard(Stopped)).cause == "agent_ended"
    assert [turn.heard_text for turn in worker.said if isinstance(turn, Turn)][-1] == said


LONG_GOODBYE = "Thank you for calling the box office, Anna. Your two seats are kept until seven. Have a lovely evening!"


@pytest.mark.parametrize(
    ("text", "goodbye", "said"),
    [
        ("Okay.", "Have a nice evening, Anna, goodbye!", ["Okay.", "Have a nice evening, Anna, goodbye!"]),
        ("Thank you, goodbye!", "Goodbye!", ["Thank you, goodbye!"]),
        ("[happy]", "Goodbye then.", ["Goodbye then."]),
        ("", LONG_GOODBYE, [LONG_GOODBYE]),
    ],
)
async def test_no_goodbye_is_lost_or_cut(
    greet: Greet, sandbox: Sandbox, text: str, goodbye: str, said: list[str]
) -> None:
    call = {"tool_calls": [{"name": "end_call", "arguments": {"goodbye": goodbye}}], "text": text}
    await sandbox.control("replies", {"replies": [call]})
    worker, caller = await greet({"end_call": True})
    await caller.type("That is all.")
    assert (await worker.heard(Stopped)).cause == "agent_ended"
    told = [turn.heard_text for turn in worker.said if isinstance(turn, Turn) and turn.n and turn.heard_text]
    assert told == said


async def test_a_call_is_signed_and_gets_the_headers_that_its_tool_names(server: ToolServer) -> None:
    secret = f"whsec_{base64.b64encode(b'k' * 24).decode()}"
    settings = {
        "tool_allowed_hosts": "127.0.0.1",
        "tool_signing_keys": secret,
        "tool_headers": {
            "crm": {"hosts": "127.0.0.1", "headers": {"Authorization": "Bearer x"}},
            "other": {"hosts": "example.org", "headers": {"Authorization": "Bearer y"}},
        },
    }

    async def ask(**changes: Any) -> dict[str, Any]:
        found, _ = await toolbox([tool(f"{server.url}/weather", **changes)], [], **settings).call(
            "get_weather", {"place": "Rome", "days": [1, 2]}
        )
        return found

    assert "result" in await ask(header_set="crm")
    headers = server.headers[-1]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + server.bodies[-1]
    signature = base64.b64encode(hmac.digest(b"k" * 24, content, "sha256")).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert headers["webhook-id"] == headers["Idempotency-Key"]
    assert headers["Authorization"] == "Bearer x"
    for unknown in ("other", "nothing"):
        assert "TOOL_HEADERS" in (await ask(header_set=unknown))["error"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH"])
async def test_a_tool_is_called_with_its_method(server: ToolServer, method: str) -> None:
    assert await call(f"{server.url}/weather?in=C", method=method) == {"result": {"sky": "clear", "degrees": 21}}
    has_body = method in ("PUT", "PATCH")
    assert server.methods[-1] == method
    assert server.queries[-1] == ({"in": "C"} if has_body else {"in": "C", "place": "Rome"})
    assert json.loads(server.bodies[-1] or b"{}") == ({"place": "Rome"} if has_body else {})
