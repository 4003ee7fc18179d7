"""What counts as an answer of the language model, and how often it may call tools for one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from openai import APIStatusError, BadRequestError
from openai.types.chat import ChatCompletionChunk
from pipecat.frames.frames import Frame, LLMContextSummaryRequestFrame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.base_llm import BaseOpenAILLMService

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.context_budget import SUMMARY
from agent_runner.domain.talk import Talk
from agent_runner.domain.tool_rounds import MOST_ROUNDS
from agent_runner.worker.providers import llm, llm_errors
from agent_runner.worker.providers.answering import Answering
from agent_runner.worker.providers.llm import CANCELLED, LanguageModel, NoAnswer
from contracts.tools import RecordedTool
from tests.support.llm_refusals import TOO_LARGE, refused_by
from tests.support.toolbox import toolbox

CALL = object()
SILENCE = "(silence)"
LIMIT = "(limit)"
CUT_ARGUMENTS = "(a call whose arguments are cut)"


class Model:
    """A language model whose answers are given here: pieces of text, and lists of calls."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str | list[object] | Exception], **settings: Any
    ) -> None:
        self.said, self.ran, self.faults, self.left = "", 0, 0, list(answers)
        self.asked = asyncio.Event()
        self.context = LLMContext([{"role": "user", "content": "One."}])
        keys = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
        self.service = service = LanguageModel.of(AgentConfig.model_validate({**keys, **settings}))
        service.on_fault = self._on_fault

        async def answer(_service: object, _context: object) -> None:
            for part in self.left.pop(0):
                self.asked.set()
                if part is CUT_ARGUMENTS:
                    service.answer.finish = "length"
                    await service.run_function_calls([])
                elif part is SILENCE:
                    await asyncio.Event().wait()
                elif part is LIMIT:
                    service.answer.finish = "length"
                elif isinstance(part, Exception):
                    raise part
                elif isinstance(part, str):
                    await service._push_llm_text(part)
                else:
                    await service.run_function_calls(part)

        async def run(_service: object, calls: Sequence[object]) -> None:
            self.ran += len(calls)

        monkeypatch.setattr(BaseOpenAILLMService, "_process_context", answer)
        monkeypatch.setattr(LLMService, "run_function_calls", run)
        monkeypatch.setattr(service, "push_frame", self._push)
        monkeypatch.setattr(llm_errors, "_PAUSE_S", 0)

    def _on_fault(self, _ago_s: float) -> None:
        self.faults += 1

    async def _push(self, frame: Frame, _direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMTextFrame):
            self.said += frame.text

    async def ask(self) -> None:
        await self.service._process_context(self.context)


@pytest.mark.parametrize("nothing", [[], [""], ["\n", " "], [[]]], ids=str)
async def test_an_answer_with_nothing_in_it_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, nothing: Sequence[str | list[object]]
) -> None:
    model = Model(monkeypatch, nothing, ["\n", "I am", " fine."])
    await model.ask()
    assert (model.said, model.faults) == ("I am fine.", 1)


@pytest.mark.parametrize(("settings", "said"), [({}, "Yes."), ({"llm_open_thoughts": True}, "")])
async def test_an_answer_is_not_held_when_the_request_switches_thinking_off(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    model = Model(monkeypatch, ["Yes. ", SILENCE], llm_model="qwen/qwen3.5-35b", **settings)
    asking = asyncio.create_task(model.ask())
    await model.asked.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert model.said.strip() == said


async def test_empty_answers_for_good_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(monkeypatch, *[[]] * 20)
    with pytest.raises(NoAnswer, match="empty"):
        await model.ask()
    assert model.faults == 20 - len(model.left)


async def test_an_answer_that_the_caller_cuts_before_its_first_word_is_no_empty_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, [SILENCE], ["What nobody asked for."])
    asking = asyncio.create_task(model.ask())
    await model.asked.wait()
    asking.cancel()  # as Pipecat does at an interruption
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (model.faults, len(model.left)) == (0, 1)
    assert model.service.answer.finish == CANCELLED
    await model.ask()
    assert model.service.answer.finish != CANCELLED


async def test_thoughts_without_an_opening_tag_are_held_from_the_second_answer_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    thoughts = "Okay, the user asks. "
    model = Model(monkeypatch, [thoughts, "</think>Rome."], [thoughts, thoughts, "</thi", "nk>\n\nOslo."], ["Bern."])
    for heard in (f"{thoughts}Rome.", "Oslo.", "Bern."):
        model.said = ""
        await model.ask()
        assert model.said == heard
    assert model.faults == 0


async def test_thoughts_that_the_token_limit_cut_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(monkeypatch, ["Okay.</think>Rome."], ["Okay, the user", LIMIT], ["Hm.</think>Oslo."])
    await model.ask()
    model.said = ""
    await model.ask()
    assert (model.said, model.faults) == ("Oslo.", 1)


@pytest.mark.parametrize("answer", [["Well."], [[CALL]], ["Well.", []]], ids=["text", "call", "both"])
async def test_text_or_a_call_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, answer: Sequence[str | list[object]]
) -> None:
    model = Model(monkeypatch, answer)
    await model.ask()
    assert model.faults == 0


async def test_the_calls_of_the_ninth_round_are_answered_with_an_error_and_the_tenth_is_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, *[[[CALL, CALL]]] * 30)
    for n in range(1, MOST_ROUNDS + 2):
        await model.ask()
        assert model.service.has_called_enough == (n > MOST_ROUNDS)
    with pytest.raises(NoAnswer):
        await model.ask()
    assert model.ran == 2 * (MOST_ROUNDS + 1)


async def test_the_rounds_are_counted_anew_for_each_thing_that_the_caller_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, *[[[CALL]]] * 30)
    for _ in range(MOST_ROUNDS + 1):
        await model.ask()
    model.context.add_message({"role": "user", "content": "Two."})
    model.context.add_message({"role": "assistant", "content": "What was heard before it."})
    await model.ask()
    assert not model.service.has_called_enough


def _add_call(context: LLMContext, result: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": result},
    ]
    context.add_messages(messages)


async def test_a_result_is_known_when_a_request_has_it_also_if_that_is_a_repeated_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, [RuntimeError("once")], ["It is clear."])
    known, results = list[bool](), model.service.known_results

    def on_fault(_ago_s: float) -> None:
        known.append("1" in results)
        _add_call(model.context, "clear")

    model.service.on_fault = on_fault
    await model.ask()
    assert (known, "1" in results, "2" in results) == ([False], True, False)


@pytest.mark.parametrize("is_known", [False, True], ids=["it came meanwhile", "the answer from it was cut"])
async def test_a_result_reaches_the_model_whole_also_behind_a_line_and_a_hello(
    monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    model = Model(monkeypatch, [[CALL]], *([[SILENCE]] if is_known else []), ["Yes."], ["Well."])
    await model.ask()
    _add_call(model.context, "x" * 3_900)
    if is_known:
        asking = asyncio.create_task(model.ask())
        await asyncio.sleep(0.01)
        assert model.left[0] == ["Yes."]
        asking.cancel()
        await asyncio.wait([asking])
    sorry: Any = {"role": "assistant", "content": "Sorry, I didn't get that."}
    hello: Any = {"role": "user", "content": "Hello?"}
    model.context.add_messages([sorry, hello])
    await model.ask()
    results = [m for m in model.context.messages if isinstance(m, dict) and m["role"] == "tool"]
    assert results[0]["content"] == "x" * 3_900
    model.context.add_messages([{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "And now?"}])
    await model.ask()
    results = [m for m in model.context.messages if isinstance(m, dict) and m["role"] == "tool"]
    assert len(str(results[0]["content"])) < 1_100


@pytest.mark.parametrize(("budget", "results"), [(900, ["x" * 8_000]), (4_000, ["x" * 16_000] * 2)])
async def test_the_rounds_of_a_question_are_its_own_also_when_each_question_drops_an_older_turn(
    monkeypatch: pytest.MonkeyPatch, budget: int, results: list[str]
) -> None:
    model = Model(monkeypatch, *[[[CALL]], ["Here."]] * 30, llm_context_tokens=budget)
    sizes: list[int] = []
    for n in range(12):
        model.context.add_message({"role": "user", "content": f"Question {n}."})
        await model.ask()
        assert not model.service.has_called_enough, f"question {n}"
        for result in results:
            _add_call(model.context, result)
        await model.ask()
        model.context.add_message({"role": "assistant", "content": "Here."})
        sizes.append(len(model.context.messages))
    assert sizes[-1] == sizes[-2], "the context is full"
    assert model.ran == 12


async def test_a_stop_of_the_calls_ends_with_the_question_also_when_the_next_one_drops_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, *[[[CALL]]] * 30, llm_context_tokens=900)
    model.context.set_messages([{"role": "user", "content": f"{n}" + "x" * 3_000} for n in range(3)])
    await model.ask()
    model.service.stop_calling()
    model.context.add_message({"role": "user", "content": "x" * 3_000})
    await model.ask()
    assert len(model.context.messages) == 2
    assert not model.service.has_called_enough


async def test_a_summary_that_swallows_the_question_does_not_begin_its_rounds_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, *[[[CALL]]] * 30)
    model.context.add_message({"role": "user", "content": "Two."})
    for _ in range(MOST_ROUNDS):
        await model.ask()
        _add_call(model.context, "Not yet.")
    model.context.set_messages([{"role": "user", "content": f"{SUMMARY}One."}, *model.context.messages[-4:]])
    await model.ask()
    assert model.service.has_called_enough


async def test_a_failure_of_a_tool_stops_the_calls_of_its_question_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, talk = Model(monkeypatch, *[[[CALL]]] * 30), Talk()
    box = toolbox([], [], talk)

    async def call(*_: Any) -> tuple[dict[str, Any], bool]:
        talk.user_said("Something else.")  # while the tool runs
        return {"error": "again"}, True

    async def ignore(_found: Any) -> None:
        pass

    monkeypatch.setattr(box, "call", call)
    about: Any = SimpleNamespace(function_name="look", arguments={}, tool_call_id="1", result_callback=ignore)
    await model.ask()
    await box._answer(model.service, about)
    await model.ask()
    assert not model.service.has_called_enough


async def test_the_whole_schema_of_a_tool_reaches_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {
        "type": "object",
        "properties": {"at": {"$ref": "#/$defs/place"}},
        "$defs": {"place": {"type": "string"}},
        "additionalProperties": False,
    }
    tools = [
        RecordedTool(name="look", description="Looks.", url="https://host/", parameters=parameters),
        RecordedTool(name="wait", description="Waits.", url="https://host/", parameters={"type": "object"}),
    ]
    model = Model(monkeypatch)
    model.context.set_tools(toolbox(tools, []).offer(model.service))
    sent: Any = await model.service.get_llm_adapter().get_llm_invocation_params(
        model.context, convert_developer_to_user=False
    )
    assert [tool["function"]["parameters"] for tool in sent["tools"]] == [
        parameters,
        {"type": "object", "properties": {}},
    ]


async def test_a_request_that_is_too_large_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of tools in the turn in progress, which otherwise stay whole."""
    refused: Any = httpx.Response(413, request=httpx.Request("POST", "http://x"))
    too_large = APIStatusError("too large", response=refused, body=None)
    model = Model(monkeypatch, [too_large], ["I am fine."])
    old: list[Any] = [{"role": "user", "content": "x" * 20_000}, {"role": "assistant", "content": "Old."}]
    model.context.set_messages(
        [*old, {"role": "user", "content": "One."}, {"role": "tool", "tool_call_id": "1", "content": "y" * 16_000}]
    )
    await model.ask()
    sizes = [len(str(dict(message).get("content"))) for message in model.context.messages if isinstance(message, dict)]
    assert (model.said, sizes[0]) == ("I am fine.", len("One."))
    assert sizes[1] < 1100


async def test_a_request_that_is_refused_within_the_budget_is_made_with_half_as_much(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    too_large = refused_by(400, TOO_LARGE["llama.cpp"])
    model = Model(monkeypatch, [too_large], [too_large], ["I am fine."], llm_models="only-one", llm_context_tokens=0)
    model.context.set_messages([{"role": "user", "content": f"{n}" + "x" * 2_000} for n in range(8)])
    await model.ask()
    assert (model.said, model.faults, len(model.context.messages)) == ("I am fine.", 0, 2)


async def test_another_model_is_asked_before_a_context_shrinks_below_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    too_large = refused_by(400, TOO_LARGE["vLLM"])
    model = Model(monkeypatch, [too_large], [too_large], ["I am fine."], llm_context_tokens=4_000)
    model.context.set_messages([{"role": "user", "content": f"{n}" + "x" * 3_000} for n in range(8)])
    first = model.service._ways.first
    await model.ask()
    assert (model.said, model.faults, len(model.context.messages)) == ("I am fine.", 1, 5)
    assert model.service._ways.first != first


_SAMPLING = {"temperature", "top_p", "presence_penalty", "frequency_penalty"}


@pytest.mark.parametrize(
    ("settings", "limit", "sampling"),
    [
        ({}, "max_completion_tokens", _SAMPLING),
        ({"llm_base_url": "http://127.0.0.1:8000/v1", "llm_models": "any"}, "max_tokens", {"temperature", "top_p"}),
        ({"llm_base_url": "http://127.0.0.1:8000/v1", "llm_models": "gpt-5-mini"}, "max_completion_tokens", set()),
        ({"llm_base_url": "http://127.0.0.1:8000/v1", "llm_models": "openai/o3"}, "max_completion_tokens", set()),
    ],
)
async def test_a_request_has_only_the_fields_that_the_model_and_its_server_take(
    settings: dict[str, str], limit: str, sampling: set[str]
) -> None:
    keys = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
    service = LanguageModel.of(AgentConfig.model_validate({**keys, **settings}))
    sent: dict[str, Any] = {}

    async def create(**body: Any) -> Any:
        sent.update(body)
        raise EOFError

    service._client.chat.completions.create = create
    with pytest.raises(EOFError):
        await service.run_inference(LLMContext([{"role": "user", "content": "Hi."}]), max_tokens=70)
    assert {name: value for name, value in sent.items() if "tokens" in name} == {limit: 70}
    assert set(sent) & _SAMPLING == sampling


async def test_a_summary_replaces_the_turns_that_it_sums_up_also_when_others_were_left_out_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(monkeypatch, ["I am fine."])
    turns: list[Any] = [{"role": "user", "content": f"{n} " + "x" * 2_500} for n in range(14)]
    model.context.set_messages(turns)

    async def run(*_: Any, **__: Any) -> str:
        await model.ask()  # leaves out the oldest
        return "They counted."

    monkeypatch.setattr(model.service, "run_inference", run)
    request = LLMContextSummaryRequestFrame(
        request_id="1",
        context=model.context,
        min_messages_to_keep=8,
        target_context_tokens=100,
        summarization_prompt="",
    )
    _, last = await model.service._generate_summary(request)
    assert len(model.context.messages) < len(turns)
    assert model.context.messages[last + 1 :] == turns[-8:]


@pytest.mark.parametrize(
    ("answers", "summary", "limits"),
    [
        (["<think>\nWho was it?\n</think>\n\nHe is Bob."], "He is Bob.", [400]),
        (["<think>Who was", "<think>Who was it?</think>He is Bob."], "He is Bob.", [400, 1600]),
        ([None, "He is Bob."], "He is Bob.", [400, 1600]),
        (["<think>Who was", "<think>Who was it? Was it"], None, [400, 1600]),
    ],
    ids=["thoughts", "cut thoughts", "hidden thoughts", "cut twice"],
)
async def test_a_summary_has_no_thoughts_in_it(
    monkeypatch: pytest.MonkeyPatch, answers: list[str | None], summary: str | None, limits: list[int]
) -> None:
    asked: list[Any] = []

    async def create(**body: Any) -> Any:
        asked.append(body)
        message = SimpleNamespace(content=answers[len(asked) - 1])
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])

    model = Model(monkeypatch, llm_base_url="http://127.0.0.1:8000/v1", llm_models="qwen3:8b", llm_reasoning_tokens=0)
    model.service._take(model.service._ways.first)
    monkeypatch.setattr(model.service._client.chat.completions, "create", create)
    assert await model.service.run_inference(model.context, 400, "Sum up.") == summary
    assert [body["max_tokens"] for body in asked] == limits


async def test_cut_arguments_are_asked_for_again_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(monkeypatch, [[]], [[]])
    monkeypatch.setattr(Answering, "is_cut", property(lambda _: True))
    with pytest.raises(llm.CutArguments):
        await model.ask()
    assert not model.left


class Stream:
    """The chunks of an answer as OpenAI's client gives them."""

    def __init__(self, *deltas: dict[str, Any], finish: str = "stop") -> None:
        self._choices = [(delta, None) for delta in deltas] + [({}, finish)]

    async def __aenter__(self) -> "Stream":
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __aiter__(self) -> AsyncGenerator[ChatCompletionChunk]:
        for delta, finish in self._choices:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            about = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "any"}
            yield ChatCompletionChunk.model_validate({**about, "choices": [choice]})


def _called(arguments: str) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "look", "arguments": arguments}}]}


LEAD = {"content": "One moment, let me look."}
CUT_CALL = Stream(LEAD, _called('{"at": "Ro'), finish="length")


@pytest.mark.parametrize(
    ("again", "said", "ran"),
    [
        (Stream(LEAD, _called("{}")), "One moment, let me look.", 1),
        (Stream({"content": "One moment, I am looking."}, _called("{}")), "One moment, let me look.", 1),
        (Stream(LEAD, {"content": " It is clear."}), "One moment, let me look. It is clear.", 0),
        (Stream({"content": "It is clear."}), "One moment, let me look. It is clear.", 0),
    ],
    ids=["the same", "other words", "no call", "no call and other words"],
)
async def test_what_was_said_before_a_cut_call_is_not_said_again(
    monkeypatch: pytest.MonkeyPatch, again: Stream, said: str, ran: int
) -> None:
    process = BaseOpenAILLMService._process_context
    model = Model(monkeypatch)
    monkeypatch.setattr(BaseOpenAILLMService, "_process_context", process)
    streams = iter([CUT_CALL, again])

    async def ask(_service: object, _context: object) -> Stream:
        return next(streams)

    monkeypatch.setattr(BaseOpenAILLMService, "get_chat_completions", ask)
    await model.ask()
    assert (model.said, model.ran, model.faults) == (said, ran, 0)
    assert not [*streams]


async def test_a_failure_after_a_cut_call_is_asked_again_and_still_says_nothing_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Model(
        monkeypatch, [LEAD["content"], CUT_ARGUMENTS], [LEAD["content"], OSError()], [LEAD["content"], [CALL]]
    )
    await model.ask()
    assert (model.said, model.ran, model.faults) == (LEAD["content"], 1, 1)


async def test_after_a_cut_call_the_same_words_in_another_case_are_not_said_and_the_limit_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "Here is one of the many sentences of it. "
    again = [line.lower(), line * 9]
    model = Model(monkeypatch, [line, CUT_ARGUMENTS], again, max_answer_s=5)
    await model.ask()
    assert model.said.split() == (line * 2).split()

    model = Model(monkeypatch, [line * 9, CUT_ARGUMENTS], [line * 9], max_answer_s=5)
    await model.ask()
    assert model.said.split() == (line * 2).split()


async def test_an_answer_that_fails_after_a_cut_call_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model(monkeypatch, [LEAD["content"], CUT_ARGUMENTS], *[[OSError()]] * 20)
    with pytest.raises(NoAnswer):
        await model.ask()
    assert model.service.answer.has_begun
    model.left.extend([[OSError()]] * 20)
    with pytest.raises(NoAnswer):
        await model.ask()
    assert not model.service.answer.has_begun


async def test_a_failover_is_logged_without_the_errors_text(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    answer: Any = httpx.Response(400, request=httpx.Request("POST", "http://groq"))
    body = {"code": "tool_use_failed", "failed_generation": "Xylophone"}
    error = BadRequestError(str(body), response=answer, body=body)
    model = Model(monkeypatch, [error], [error], ["I am fine."])
    await model.ask()
    assert model.said == "I am fine."
    assert "(BadRequestError 400 tool_use_failed); failing over" in "".join(said)
    assert "Xylophone" not in "".join(said)


@pytest.mark.parametrize(("kind", "body"), [("text/html", "<p>Welcome</p>"), ("application/json", "{"), ("", "")])
async def test_a_server_without_a_model_list_does_not_end_the_call(kind: str, body: str) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        keys = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
        config = AgentConfig.model_validate({**keys, "groq_base_url": f"http://127.0.0.1:{port}/v1"})
        await LanguageModel.of(config).connect_early()
    assert [request.split()[1] for request in asked] == [b"/v1/models"]
