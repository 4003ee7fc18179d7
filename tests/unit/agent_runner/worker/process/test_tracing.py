"""What the spans of a call say of the models, and what they do not say of the conversation."""

from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode
from opentelemetry.util.types import AttributeValue
from pipecat.utils.tracing.service_attributes import (
    add_llm_span_attributes,
    add_stt_span_attributes,
    add_tts_span_attributes,
)

from agent_runner.worker.process.tracing import Told
from agent_runner.worker.providers.llm import LanguageModel
from agent_runner.worker.providers.stt import SpeechToText
from agent_runner.worker.providers.tool_requests import ToolFailed
from agent_runner.worker.providers.tts import TextToSpeech
from chassis import telemetry
from contracts.tools import RecordedTool
from tests.support.toolbox import toolbox

SECRET = "my number is 42"


class Scene:
    """Spans as Pipecat makes them, and as they leave the worker."""

    def __init__(self, *, with_words: bool) -> None:
        self._memory = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(Told(self._memory, "session_1", with_words=with_words)))
        self._tracer = provider.get_tracer("pipecat")

    def tell(self) -> dict[str, ReadableSpan]:
        with self._tracer.start_as_current_span("turn") as turn:
            turn.set_attribute("turn.number", 1)
            with self._tracer.start_as_current_span("stt") as span:
                add_stt_span_attributes(
                    span, SpeechToText.__name__, "universal", transcript=SECRET, user_id="Anna", ttfb=0.1
                )
            with self._tracer.start_as_current_span("llm") as span:
                parameters = {"max_completion_tokens": 200, "temperature": 0.5, "max_tokens": "NOT_GIVEN"}
                add_llm_span_attributes(
                    span, LanguageModel.__name__, "llama", messages=SECRET, output=SECRET, tools=SECRET,
                    system_instructions=SECRET, parameters=parameters, ttfb=0.25,
                )  # fmt: skip
                span.set_attribute("gen_ai.provider.name", "groq")
                span.add_event("exception", {"exception.message": SECRET})
                span.set_status(Status(StatusCode.ERROR, SECRET))
            with self._tracer.start_as_current_span("tts") as span:
                add_tts_span_attributes(span, TextToSpeech.__name__, "inworld-tts", "Ashley", text=SECRET)
        return {span.name: span for span in self._memory.get_finished_spans()}


def attributes(span: ReadableSpan) -> Mapping[str, AttributeValue]:
    assert span.attributes is not None
    return span.attributes


def test_a_model_call_has_the_names_of_the_conventions() -> None:
    spans = Scene(with_words=False).tell()
    assert set(spans) == {"turn", "stt universal", "chat llama", "tts inworld-tts"}
    llm = spans["chat llama"]
    assert llm.kind is SpanKind.CLIENT
    assert dict(attributes(llm)) == {
        "gen_ai.provider.name": "groq",
        "gen_ai.system": "groq",
        "gen_ai.operation.name": "chat",
        "gen_ai.output.type": "text",
        "gen_ai.request.model": "llama",
        "gen_ai.request.max_tokens": 200,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stream": True,
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.conversation.id": "session_1",
        "session.id": "session_1",
    }


def test_the_recogniser_and_the_voice_have_their_providers_names() -> None:
    spans = Scene(with_words=False).tell()
    named = {name: attributes(span).get("gen_ai.provider.name") for name, span in spans.items()}
    assert named == {"turn": None, "stt universal": "assemblyai", "chat llama": "groq", "tts inworld-tts": "inworld"}
    assert attributes(spans["tts inworld-tts"])["gen_ai.output.type"] == "speech"
    assert attributes(spans["turn"])["session.id"] == "session_1"
    assert attributes(spans["stt universal"])["metrics.ttfb"] == 0.1  # no chunk of a response


async def executed(answer: Awaitable[object], *, with_words: bool = False, within: Span | None = None) -> ReadableSpan:
    """The span of a tool that answers so, asked for within this span of the model."""
    memory = InMemorySpanExporter()
    telemetry.configure("agent-worker", None, exporter=Told(memory, "session_1", with_words=with_words))
    box = toolbox([RecordedTool(name="book", description="Books.", parameters={}, url="http://tool")], [])

    async def send(tool: RecordedTool, arguments: str, key: str) -> Any:
        return await answer

    box._requests.send = send  # pyright: ignore[reportPrivateUsage]
    with trace.use_span(within or INVALID_SPAN), suppress(RuntimeError):
        await box.call("book", {"who": SECRET}, "call_7")
    provider = trace.get_tracer_provider()
    assert isinstance(provider, TracerProvider)
    provider.force_flush()
    [span] = [each for each in memory.get_finished_spans() if each.name == "execute_tool book"]
    return span


async def answers(what: object) -> object:
    if isinstance(what, Exception):
        raise what
    return what


async def test_a_tools_execution_has_the_names_of_the_conventions_and_stands_beside_the_model_that_asked() -> None:
    telemetry.configure("agent-worker", None, exporter=InMemorySpanExporter())
    with telemetry.span("turn", SpanKind.INTERNAL) as turn, telemetry.span("chat", SpanKind.CLIENT) as model:
        span = await executed(answers({"table": 7}), within=model)

    assert span.kind is SpanKind.INTERNAL
    assert span.parent is not None
    assert (span.parent.trace_id, span.parent.span_id) == (
        turn.get_span_context().trace_id,
        turn.get_span_context().span_id,
    )
    assert span.status.status_code is StatusCode.UNSET
    assert dict(attributes(span)) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "book",
        "gen_ai.tool.type": "extension",
        "gen_ai.tool.call.id": "call_7",
        "gen_ai.conversation.id": "session_1",
        "session.id": "session_1",
    }


async def test_a_failed_tool_names_its_error_and_no_word_of_it() -> None:
    span = await executed(answers(ToolFailed(f"status 500: {SECRET}", kind="500")))

    assert (span.status.status_code, attributes(span)["error.type"]) == (StatusCode.ERROR, "500")
    assert SECRET not in span.to_json()


async def test_an_unforeseen_error_of_a_tool_has_its_class_as_its_name() -> None:
    span = await executed(answers(RuntimeError(SECRET)))

    assert (span.status.status_code, attributes(span)["error.type"]) == (StatusCode.ERROR, "RuntimeError")
    assert SECRET not in span.to_json()


async def test_a_tools_words_are_kept_where_they_are_asked_for() -> None:
    span = await executed(answers("Table 7"), with_words=True)

    assert attributes(span)["gen_ai.tool.call.arguments"] == f'{{"who":"{SECRET}"}}'
    assert attributes(span)["gen_ai.tool.call.result"] == '{"result": "Table 7"}'


def test_parents_and_times_stay() -> None:
    spans = Scene(with_words=False).tell()
    turn = spans["turn"].context
    for name in ("stt universal", "chat llama", "tts inworld-tts"):
        assert spans[name].parent == turn
        assert (spans["turn"].start_time or 0) <= (spans[name].start_time or 0) <= (spans[name].end_time or 0)


def test_no_word_of_the_conversation_leaves_the_worker() -> None:
    for span in Scene(with_words=False).tell().values():
        assert SECRET not in span.to_json()
        assert "Anna" not in span.to_json()


def test_words_are_kept_where_they_are_asked_for() -> None:
    spans = Scene(with_words=True).tell()
    assert attributes(spans["chat llama"])["output"] == SECRET
    assert spans["chat llama"].events[0].name == "exception"
    assert attributes(spans["stt universal"])["transcript"] == SECRET
