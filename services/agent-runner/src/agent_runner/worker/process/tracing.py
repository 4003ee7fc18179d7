"""The call's trace: Pipecat's spans below the session's; without prompts and transcripts unless OTEL_TRANSCRIPTS."""

from collections.abc import Sequence
from typing import Final

from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status
from pipecat.utils.tracing.turn_trace_observer import TurnTraceObserver

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import Go
from chassis import telemetry

_EXPORT_S: Final = 5
_FLUSH_S: Final = 0.5
_SAID: Final = frozenset(
    {
        *("transcript", "text", "input", "output", "text_output", "gen_ai.system_instructions", "tools", "user_id"),
        *("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
    }
)
_SAID_PREFIXES: Final = ("settings.", "function_calls.")  # the services' settings contain the prompt and the key terms
_RENAMED: Final = {
    "metrics.ttfb": "gen_ai.response.time_to_first_chunk",
    "stream": "gen_ai.request.stream",
    "gen_ai.request.max_completion_tokens": "gen_ai.request.max_tokens",
    "param.reasoning_effort": "gen_ai.request.reasoning.level",
}
_HEARING: Final = "stt"  # its figures are other ones: the time to a transcript counts from the end of speech
_UNSET: Final = "NOT_GIVEN"
_PROVIDERS: Final = {"speechtotext": "assemblyai", "texttospeech": "inworld"}


class Told(SpanExporter):
    """Gives each span the names of the GenAI conventions, and removes transcripts and prompts.

    Pipecat names a provider after its service's class, and some attributes in its own way. The conventions renamed
    `gen_ai.system` to `gen_ai.provider.name`; a span has both, so that queries by either find it.
    """

    def __init__(self, inner: SpanExporter, session_id: str, *, with_words: bool) -> None:
        self._inner = inner
        self._of_session = {"session.id": session_id, "gen_ai.conversation.id": session_id}
        self._with_words = with_words

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies; without the words they have no events and error texts either."""
        return self._inner.export([self._told(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)

    def _told(self, span: ReadableSpan) -> ReadableSpan:
        attributes = {
            key if span.name == _HEARING else _RENAMED.get(key, key): value
            for key, value in (span.attributes or {}).items()
            if value != _UNSET and (self._with_words or not (key in _SAID or key.startswith(_SAID_PREFIXES)))
        }
        name, kind = span.name, span.kind
        if isinstance(provider := attributes.get("gen_ai.provider.name"), str):
            provider = _PROVIDERS.get(provider, provider)
            attributes |= {"gen_ai.provider.name": provider, "gen_ai.system": provider}
            what = (attributes.get("gen_ai.operation.name"), attributes.get("gen_ai.request.model"))
            name = " ".join(str(each) for each in what if each) or name
            kind = SpanKind.CLIENT
        return ReadableSpan(
            name=name,
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=attributes | self._of_session,
            events=span.events if self._with_words else (),
            links=span.links,
            kind=kind,
            status=span.status if self._with_words else Status(span.status.status_code),
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )


def begin(observer: TurnTraceObserver | None, config: AgentConfig, go: Go) -> None:
    """Start the conversation's span as a child of the supervisor's, if a collector is configured.

    It makes the tracer only now: an idle worker has nothing to trace, and without a tracer the span that Pipecat starts
    with the pipeline is discarded.
    """
    if config.otel_exporter_otlp_endpoint is None or observer is None:
        return
    exporter = telemetry.otlp(config.otel_exporter_otlp_endpoint, _EXPORT_S)
    told = Told(exporter, go.session_id, with_words=config.otel_transcripts)
    telemetry.configure("agent-worker", None, exporter=told)
    observer.end_conversation_tracing()
    token = context.attach(telemetry.extract({"traceparent": go.traceparent} if go.traceparent else None))
    try:
        observer.start_conversation_tracing(go.session_id)
    finally:
        context.detach(token)


def end(observer: TurnTraceObserver | None) -> None:
    """End the open spans and send them, within `_FLUSH_S`."""
    if observer is not None:
        observer.end_conversation_tracing()
    telemetry.shutdown(_FLUSH_S)
