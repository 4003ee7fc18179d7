"""Cheap spans for a process that exports none: they give logs and messages their trace ids, and record nothing."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags, Tracer

_IDS: Final = RandomIdGenerator()
_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class SwitchedProvider(TracerProvider):
    """A provider whose spans carry only ids until `exports` is set; then they are the SDK's, at twice the cost."""

    exports = False

    def get_tracer(self, *arguments: Any, **named: Any) -> Tracer:
        return _SwitchedTracer(super().get_tracer(*arguments, **named), self)


class _SwitchedTracer(Tracer):
    def __init__(self, recording: Tracer, provider: SwitchedProvider) -> None:
        self._recording = recording
        self._provider = provider

    def start_span(self, name: str, context: Context | None = None, *arguments: Any, **named: Any) -> Span:
        if self._provider.exports:
            return self._recording.start_span(name, context, *arguments, **named)
        return NonRecordingSpan(_child_of(trace.get_current_span(context).get_span_context()))

    @contextmanager
    def start_as_current_span(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        name: str,
        *arguments: Any,
        record_exception: bool = True,
        set_status_on_exception: bool = True,
        end_on_exit: bool = True,
        **named: Any,
    ) -> Generator[Span]:
        span = self.start_span(name, *arguments, **named)
        with trace.use_span(
            span,
            end_on_exit=end_on_exit,
            record_exception=record_exception,
            set_status_on_exception=set_status_on_exception,
        ) as current:
            yield current


def _child_of(parent: SpanContext) -> SpanContext:
    if not parent.is_valid:
        return SpanContext(_IDS.generate_trace_id(), _IDS.generate_span_id(), is_remote=False, trace_flags=_SAMPLED)
    return SpanContext(
        parent.trace_id,
        _IDS.generate_span_id(),
        is_remote=False,
        trace_flags=parent.trace_flags,
        trace_state=parent.trace_state,
    )
