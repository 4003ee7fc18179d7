"""A session's tools, as the language model calls them. Every error becomes an answer to the model within a deadline."""

# pyright: standard

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

from opentelemetry.trace import Span
from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema
from pipecat.frames.frames import FunctionCallResultProperties
from pipecat.services.llm_service import FunctionCallParams

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.delivery import has_words
from agent_runner.domain.goodbye import last_words
from agent_runner.domain.speakable import speakable
from agent_runner.domain.talk import Talk
from agent_runner.domain.tool_calls import CallsSoFar, Outcome, ToolRequest
from agent_runner.link.messages import Go, ToolCall
from agent_runner.worker.providers.llm import LanguageModel
from agent_runner.worker.providers.tool_requests import ToolFailed, ToolRequests
from agent_runner.worker.providers.tool_spans import executing, failed
from chassis import logs
from chassis.tasks import Tasks
from contracts.tools import RecordedTool

MAX_TOLD_CHARS: Final = 4_000
"""Of an answer in the session's log."""

_LOOK_S: Final = 0.05
_ANSWERING_S: Final = 15.0
_PLAYED_OUT_S: Final = 0.5
_ENOUGH: Final = "not called: there were too many calls for one question; answer now, with what you know"
_REPEATED: Final = "; it failed twice in the same way, or too often, so do not call it again now: tell the caller"

_PAST_UNKNOWN: Final = "not called: whether this call has done it before cannot be read now; tell the caller"
_UNTOLD: Final = "not ended: a tool's result is not told yet; when it is there, tell it, and call end_call again"

END_CALL: Final = RecordedTool(
    name="end_call",
    description="Ends this call for good. Call it only when the caller has said goodbye or has nothing left to ask.",
    parameters={
        "type": "object",
        "properties": {"goodbye": {"type": "string", "description": "your last words: one short sentence"}},
    },
    url="",
)
"""Built in, for sessions that permit it."""

log = logs.get_logger(__name__)


@dataclass(slots=True)
class _Call:
    """A call of a tool, until the model knows its result.

    Attributes:
        ids: The model's, of all that share the result.
        is_handed_in: Pipecat has the result, and asks the model once no other call of the same answer is left.
    """

    answer: asyncio.Task[tuple[dict[str, Any], bool]]
    ids: set[str] = field(default_factory=set[str])
    is_handed_in: bool = False


class Toolbox:
    """One session's tools.

    A running call is never cancelled: not by the caller's sound, not by another question. Pipecat tells the model that
    it runs, and hands the result in when it comes, on whatever turn that is. A second call with the same name and
    arguments gets the result of the first, until the model is asked with that result.

    Attributes:
        is_owed: A result came, and the model has not been asked since.
    """

    def __init__(
        self,
        go: Go,
        config: AgentConfig,
        talk: Talk,
        tell: Callable[[ToolCall], None],
        on_end: Callable[[str | None], None],
    ) -> None:
        """Make the tools of a job callable.

        Args:
            talk: Numbers the caller's questions.
            tell: Called before each request and at its outcome, on the event loop; must not block.
            on_end: Called when the agent ends the call, with its last words; None: it has said them; empty: none given.
        """
        self._tools = {tool.name: tool for tool in go.tools}
        self._session_id = go.session_id
        self._requests = ToolRequests(config, go.session_id)
        self._so_far = CallsSoFar(go.session_id, go.open_calls)
        # None: a take-over without the history. Model and keys could repeat what the epochs before have done.
        self._questions_before = go.questions_before if go.has_history or go.bridge is None else None
        self._talk = talk
        self._tell = tell
        self._on_end = on_end if go.end_call and END_CALL.name not in self._tools else None
        self._count = 0
        self._calls: dict[ToolRequest, _Call] = {}
        self._model: LanguageModel | None = None
        self._asked_before: int | None = None  # the model's count when the last result came

    @property
    def end_call(self) -> str | None:
        """The built-in tool that ends the call; None: not offered, or the session has its own tool of that name."""
        return None if self._on_end is None else END_CALL.name

    @property
    def is_running(self) -> bool:
        """Whether a tool is running."""
        return any(not call.answer.done() for call in self._calls.values())

    @property
    def is_owed(self) -> bool:
        return self._model is not None and self._model.questions_asked == self._asked_before

    def offer(self, llm: LanguageModel) -> ToolsSchema:
        """Register the tools with the language model; return their description for its context."""
        self._model = llm
        for tool in self._tools.values():
            llm.register_function(
                tool.name,
                partial(self._answer, llm),
                cancel_on_interruption=False,
            )
        if self._on_end is not None:
            llm.register_function(END_CALL.name, partial(self._end, llm, self._on_end), cancel_on_interruption=False)
        # Pipecat's own FunctionSchema would keep only `properties` and `required` of a tool's JSON Schema.
        offered = [*self._tools.values(), *([END_CALL] if self._on_end else [])]
        return ToolsSchema(standard_tools=[], custom_tools={AdapterType.OPENAI: [_described(tool) for tool in offered]})

    async def _answer(self, llm: LanguageModel, params: FunctionCallParams) -> None:
        if llm.has_called_enough:
            found: dict[str, Any] = {"error": _ENOUGH}
        else:
            question = self._talk.questions
            found, is_repeated = await self.call(params.function_name, params.arguments, params.tool_call_id)
            if is_repeated and self._talk.questions == question:  # the next question may call its tools
                llm.stop_calling()
        await self._is_quiet(llm)
        self._asked_before = llm.questions_asked
        for call in self._unknown():
            call.is_handed_in = call.is_handed_in or params.tool_call_id in call.ids
        await params.result_callback(found)

    async def _end(self, llm: LanguageModel, on_end: Callable[[str | None], None], params: FunctionCallParams) -> None:
        """End the call, once the agent has said what it is saying; words of the caller meanwhile keep it alive.

        So does a tool whose result the model does not know: the end would cut its request, and the caller would not
        hear whether it was done.
        """
        question, has_answer = self._talk.questions, self._talk.is_answering
        given = params.arguments.get("goodbye") if isinstance(params.arguments, Mapping) else None
        await self._is_quiet(llm)
        so_far = self._talk.so_far() if self._talk.is_answering else None
        said = so_far.heard_text if so_far else self._talk.said if has_answer else ""
        if has_words(said):
            await asyncio.sleep(_PLAYED_OUT_S)
        with suppress(TimeoutError):  # the words of a caller who interrupted the goodbye come at the turn's end
            async with asyncio.timeout(_ANSWERING_S):
                while self._talk.is_asking:  # noqa: ASYNC110 - a state without an event
                    await asyncio.sleep(_LOOK_S)
        if self._talk.is_asking or self._talk.questions != question:
            # The caller's words get an answer of their own.
            kept = FunctionCallResultProperties(run_llm=False)
            await params.result_callback({"error": "not ended: the caller went on talking"}, properties=kept)
            return
        if unknown := self._unknown():
            comes = not all(call.is_handed_in for call in unknown)  # then it asks the model
            asks = FunctionCallResultProperties(run_llm=False) if comes else None
            await params.result_callback({"error": _UNTOLD}, properties=asks)
            return
        with executing(END_CALL.name, params.tool_call_id):
            on_end(last_words(said, speakable(given) if isinstance(given, str) else ""))

    async def _is_quiet(self, llm: LanguageModel) -> None:
        """Wait until the agent has said what it is saying, at most _ANSWERING_S.

        Pipecat itself waits only while audio is played. An answer that it starts between the words of another and
        their sound never enters the context.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWERING_S):
                while llm.is_asked or self._talk.is_answering:  # noqa: ASYNC110 - two states without events
                    await asyncio.sleep(_LOOK_S)

    async def call(self, name: str, arguments: Mapping[str, Any], call_id: str = "") -> tuple[dict[str, Any], bool]:
        """Call a tool: `{"result": ...}`, parsed if it is JSON, or `{"error": why}` in words for the model.

        Args:
            call_id: The model's.

        Returns:
            The answer, and whether this call has failed too often to be made again for the question.
        """
        if not isinstance(arguments, Mapping):  # Pipecat passes on any JSON
            return {"error": "the arguments must be a JSON object"}, False
        if self._questions_before is None and self._tools[name].method != "GET":
            return {"error": _PAST_UNKNOWN}, False
        call = ToolRequest.of(name, arguments)
        self._unknown()
        if (made := self._calls.get(call)) is None:
            made = self._calls[call] = _Call(Tasks().spawn(self._carry_out(call, call_id)))
        made.ids.add(call_id)
        return await asyncio.shield(made.answer)

    def _unknown(self) -> list[_Call]:
        """The calls whose results the model does not know; the others are forgotten."""
        self._calls = {request: call for request, call in self._calls.items() if not self._is_known(call)}
        return [*self._calls.values()]

    def _is_known(self, call: _Call) -> bool:
        """The model was asked with its result: the same call after that is another request."""
        known = None if self._model is None else self._model.known_results
        return call.answer.done() and (known is None or any(call_id in known for call_id in call.ids))

    async def _carry_out(self, call: ToolRequest, call_id: str) -> tuple[dict[str, Any], bool]:
        question = (self._questions_before or 0) + self._talk.questions
        self._count += 1
        key = self._so_far.key_of(call, question)
        told = ToolCall(n=self._count, turn=self._talk.number, name=call.name, key=key, arguments=call.arguments)
        self._so_far = self._so_far.started(call, key)
        self._tell(told)
        request = self._requests.send(self._tools[call.name], call.arguments, key)
        with executing(call.name, call_id) as span:
            span.set_attribute("gen_ai.tool.call.arguments", call.arguments)
            about = {"tool": call.name, "session_id": self._session_id}
            found, outcome, failure = await _outcome(request, span, about)
            span.set_attribute("gen_ai.tool.call.result", json.dumps(found, ensure_ascii=False)[:MAX_TOLD_CHARS])
        kind = "" if failure is None else failure.kind
        self._so_far, is_repeated = self._so_far.finished(call, outcome, kind, question)
        self._tell(_finished(told, outcome, found, "" if failure is None else failure.told))
        return ({"error": f"{found['error']}{_REPEATED}"} if is_repeated else found), is_repeated


async def _outcome(
    request: Coroutine[Any, Any, Any], span: Span, about: Mapping[str, str]
) -> tuple[dict[str, Any], Outcome, ToolFailed | None]:
    """The answer for the model, the outcome, and the failure."""
    try:
        return {"result": await request}, "done", None
    except ToolFailed as error:
        failed(span, error.kind, str(error))
        log.warning("tool.failed", **about, error=error.told)
        log.debug("tool.answered", **about, error=str(error))
        return {"error": str(error)}, "unknown" if error.is_unknown else "failed", error
    except Exception as error:
        failed(span, type(error).__name__, str(error))
        raise


def _finished(told: ToolCall, outcome: Outcome, found: Mapping[str, Any], error: str) -> ToolCall:
    answer = next(iter(found.values()))
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return replace(told, outcome=outcome, answer=text[:MAX_TOLD_CHARS], error=error)


def _described(tool: RecordedTool) -> dict[str, Any]:
    """A tool in the form of the language model's API, with its whole schema.

    But Groq refuses every request with `required` beside no properties, whether names or none are in it.
    """
    parameters = {"properties": {}, **tool.parameters}
    if not (parameters["properties"] and parameters.get("required")):
        parameters.pop("required", None)
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": parameters},
    }
