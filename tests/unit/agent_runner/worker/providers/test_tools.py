"""A session's tools as the model calls them: which failures are one too many, and which calls may have acted."""

import asyncio
import itertools
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
from pipecat.adapters.llm.schemas.tools_schema import AdapterType
from pipecat.processors.aggregators import async_tool_messages

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.talk import Talk
from agent_runner.link.messages import ToolCall
from agent_runner.worker.providers.llm import LanguageModel
from agent_runner.worker.providers.tool_requests import ToolFailed
from agent_runner.worker.providers.tools import END_CALL, Toolbox
from contracts.tools import RecordedTool
from tests.support.commands import go
from tests.support.toolbox import toolbox

TWO_TOOLS = [
    RecordedTool(name=name, description="", parameters={}, url=f"http://tool/{name}") for name in ("book", "look")
]


def failing(monkeypatch: pytest.MonkeyPatch) -> Toolbox:
    """Tools whose server answers 500, each time with the id of another request."""
    box, ids = toolbox(TWO_TOOLS, []), itertools.count()

    async def send(*_: Any) -> Any:
        raise ToolFailed(f"status 500: request {next(ids)}", is_unknown=True, kind="500")

    monkeypatch.setattr(box._requests, "send", send)
    return box


@pytest.mark.parametrize(
    ("parameters", "described"),
    [
        ({}, {"properties": {}}),
        ({"type": "object", "properties": {}, "required": []}, {"type": "object", "properties": {}}),
        ({"required": ["a"], "additionalProperties": {}}, {"properties": {}, "additionalProperties": {}}),
        ({"properties": {"a": {}}, "required": ["a"]}, {"properties": {"a": {}}, "required": ["a"]}),
    ],
)
async def test_a_schema_has_properties_and_names_required_ones_only_beside_them_as_groq_demands(
    parameters: dict[str, Any], described: dict[str, Any]
) -> None:
    look = RecordedTool(name="look", description="Looks.", parameters=parameters, url="http://tool/look")
    offered = toolbox([look], []).offer(model())
    assert offered.custom_tools is not None
    (function,) = offered.custom_tools[AdapterType.OPENAI]
    assert function["function"]["parameters"] == described


def test_the_built_in_tools_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(END_CALL.parameters)


async def test_the_same_status_twice_is_the_same_failure_whatever_the_answers_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = failing(monkeypatch)
    assert await box.call("book", {}) == ({"error": "status 500: request 0"}, False)
    told, is_repeated = await box.call("book", {})
    assert is_repeated
    assert told["error"].startswith("status 500: request 1; it failed twice")


async def test_two_tools_that_fail_in_turn_are_stopped_at_the_second_round(monkeypatch: pytest.MonkeyPatch) -> None:
    box = failing(monkeypatch)
    rounds = [[(await box.call(name, {}))[1] for name in ("book", "look")] for _ in range(2)]
    assert rounds == [[False, False], [True, True]]


CONFIG = AgentConfig.model_validate({"assembly_api_key": "x", "groq_api_key": "x", "inworld_api_key": "x"})


def model() -> LanguageModel:
    return LanguageModel.of(CONFIG)


@pytest.mark.parametrize(
    ("changes", "method", "asks"),
    [
        ({"bridge": "I am back."}, "POST", 0),
        ({"bridge": "I am back."}, "DELETE", 0),
        ({"bridge": "I am back."}, "GET", 1),
        ({"bridge": "I am back.", "has_history": True}, "POST", 1),
        ({"opening_line": "Hello."}, "POST", 1),
    ],
)
async def test_a_successor_without_the_history_does_not_repeat_what_may_have_been_done(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], method: str, asks: int
) -> None:
    book = RecordedTool(name="book", description="", parameters={}, url="http://tool/book", method=method)
    box = Toolbox(go(tools=(book,), **changes), CONFIG, Talk(), lambda _: None, lambda _: None)
    keys = list[str]()

    async def send(_tool: RecordedTool, _arguments: str, key: str) -> Any:
        keys.append(key)

    monkeypatch.setattr(box._requests, "send", send)
    found, _ = await box.call("book", {})
    assert len(keys) == asks
    assert ("not called" in str(found)) == (asks == 0)


@pytest.mark.parametrize("is_handed_in", [False, True])
async def test_the_call_does_not_end_before_the_model_knows_the_results_of_its_tools(
    monkeypatch: pytest.MonkeyPatch, is_handed_in: bool
) -> None:
    """Of one answer: Pipecat asks the model when the last of its calls has a result."""
    box, llm, is_booked = toolbox(TWO_TOOLS, [], end_call=True), model(), asyncio.Event()
    box.offer(llm)
    ended, answers = list[str | None](), list[tuple[Any, Any]]()

    async def send(*_: Any) -> Any:
        await is_booked.wait()
        return "booked"

    async def answered(found: Any, properties: Any = None) -> None:
        answers.append((found, properties))

    def call(name: str, call_id: str) -> Any:
        return SimpleNamespace(function_name=name, arguments={}, tool_call_id=call_id, result_callback=answered)

    monkeypatch.setattr(box._requests, "send", send)
    booking = asyncio.create_task(box._answer(llm, call("book", "1")))
    await asyncio.sleep(0)
    if is_handed_in:
        is_booked.set()
        await booking
    await box._end(llm, ended.append, call("end_call", "2"))
    assert ended == []
    found, properties = answers[-1]
    assert "call end_call again" in found["error"]
    assert (properties is None) == is_handed_in, "the model is asked once, with both results"

    is_booked.set()
    await booking
    result: Any = {"role": "tool", "tool_call_id": "1", "content": '{"result": "booked"}'}
    llm.known_results.ask([result])
    await box._end(llm, ended.append, call("end_call", "3"))
    assert ended == [""]


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_call_is_shared_until_the_model_is_asked_with_its_result(
    monkeypatch: pytest.MonkeyPatch, is_late: bool
) -> None:
    """The result waits for the end of what is said: a "hello?" before that is answered without it."""
    talk, told, keys = Talk(), list[ToolCall](), list[str]()
    box = toolbox(TWO_TOOLS, told, talk)
    llm = model()
    box.offer(llm)

    async def send(_tool: RecordedTool, _arguments: str, key: str) -> Any:
        keys.append(key)
        return len(keys)

    monkeypatch.setattr(box._requests, "send", send)
    talk.user_said("Book a table.")
    llm.known_results.ask([])
    assert await box.call("book", {}, "1") == ({"result": 1}, False)
    talk.user_said("Hello?")
    llm.known_results.ask([async_tool_messages.build_started_message("1")])
    assert await box.call("book", {}, "2") == ({"result": 1}, False)
    assert len(told) == 2

    result: Any = {"role": "tool", "tool_call_id": "1", "content": '{"result": 1}'}
    late = async_tool_messages.build_final_result_message("2", '{"result": 1}')
    llm.known_results.ask([async_tool_messages.build_started_message("1"), late] if is_late else [result])
    assert await box.call("book", {}, "3") == ({"result": 2}, False)
    talk.user_said("And another one.")
    assert await box.call("book", {}, "4") == ({"result": 2}, False), "its result is not known either"
    assert len(set(keys)) == len(keys) == 2


@pytest.mark.parametrize(
    ("method", "status", "outcome"),
    [
        ("POST", 303, "unknown"),
        ("PUT", 302, "unknown"),
        ("DELETE", 301, "unknown"),
        ("POST", 307, "failed"),
        ("PATCH", 308, "failed"),
        ("GET", 303, "failed"),
    ],
)
async def test_a_redirect_after_which_the_tool_may_have_acted_is_no_failure(
    method: str, status: int, outcome: str
) -> None:
    told: list[ToolCall] = []
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[0])
        writer.write(f"HTTP/1.1 {status} Elsewhere\r\nLocation: /result\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/seats"
        book = RecordedTool(name="book", description="", parameters={}, url=url, method=method)
        await toolbox([book], told, tool_allowed_hosts="127.0.0.1").call("book", {})
    assert [call.outcome for call in told] == ["", outcome]
    assert asked == [method.encode()], "it was not followed"


async def test_an_answer_nested_too_deeply_to_parse_is_told_as_text() -> None:
    deep = b"[" * 15_000

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(deep), deep))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/seats"
        look = RecordedTool(name="look", description="", parameters={}, url=url)
        found, _ = await toolbox([look], [], tool_allowed_hosts="127.0.0.1").call("look", {})
    assert found == {"result": deep.decode()}
