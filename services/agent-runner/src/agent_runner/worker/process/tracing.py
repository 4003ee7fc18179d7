"""The call's trace: Pipecat's spans below the session's; without prompts and transcripts unless OTEL_TRANSCRIPTS."""

from collections.abc import Sequence
from typing import Final

from opentelemetry import context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import Status
from pipecat.utils.tracing.turn_trace_observer import TurnTraceObserver

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import Go
from chassis import telemetry

_EXPORT_S: Final = 5
_FLUSH_S: Final = 0.5
_SAID: Final = frozenset(
    {"transcript", "text", "input", "output", "text_output", "gen_ai.system_instructions", "tools", "user_id"}
)
_SAID_PREFIXES: Final = ("settings.", "function_calls.")  # the services' settings contain the prompt and the key terms


class Discreet(SpanExporter):
    """Removes transcripts and prompts from each span."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export copies without those attributes, and without events and error texts."""
        return self._inner.export([_without_words(span) for span in spans])

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


def begin(observer: TurnTraceObserver | None, config: AgentConfig, go: Go) -> None:
    """Start the conversation's span as a child of the supervisor's, if a collector is configured.

    It makes the tracer only now: an idle worker has nothing to trace, and without a tracer the span that Pipecat starts
    with the pipeline is discarded.
    """
    if config.otel_exporter_otlp_endpoint is None or observer is None:
        return
    exporter = telemetry.otlp(config.otel_exporter_otlp_endpoint, _EXPORT_S)
    telemetry.configure("agent-worker", None, exporter=exporter if config.otel_transcripts else Discreet(exporter))
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


def _without_words(span: ReadableSpan) -> ReadableSpan:
    kept = {
        key: value
        for key, value in (span.attributes or {}).items()
        if key not in _SAID and not key.startswith(_SAID_PREFIXES)
    }
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=kept,
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
