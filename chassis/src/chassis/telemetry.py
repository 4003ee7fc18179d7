"""Traces: W3C context in message headers, spans around messages, OTLP export where configured."""

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from chassis.imports import without

with without("psutil"):  # saves 0.8 MB: only a resource detector that we do not use needs it
    from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from chassis.span_ids import SwitchedProvider

_QUEUE: Final = 2048  # spans; a full queue drops spans, so that export never slows a call
_EXPORT_TIMEOUT_S: Final = 5

# Without baggage, which would copy data of foreign clients into our messages.
_W3C: Final[TextMapPropagator] = TraceContextTextMapPropagator()
_TRACER: Final = trace.get_tracer("chassis")

_provider: SwitchedProvider | None = None


def configure(service: str, endpoint: str | None, *, exporter: SpanExporter | None = None) -> None:
    """Set up tracing for the process; without an endpoint, spans only give logs and messages their ids.

    Args:
        service: The resource's `service.name`.
        endpoint: An OTLP/HTTP collector, such as http://127.0.0.1:4318; None exports nothing.
        exporter: Replaces OTLP in tests.
    """
    global _provider
    propagate.set_global_textmap(_W3C)
    if _provider is None:  # OpenTelemetry accepts one provider per process
        _provider = SwitchedProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        trace.set_tracer_provider(_provider)
    if exporter is None and endpoint:
        exporter = otlp(endpoint, _EXPORT_TIMEOUT_S)
    if exporter is not None:
        _provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
        _provider.exports = True


def otlp(endpoint: str, timeout_s: float) -> SpanExporter:
    """An exporter to an OTLP/HTTP collector, imported late: the import costs 6 MB.

    Args:
        endpoint: Such as http://127.0.0.1:4318.
        timeout_s: Limit for one export.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=timeout_s)


def inject() -> dict[str, str]:
    """The current trace context as message headers; empty outside a span."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context of a message's headers; empty when they hold none."""
    return _W3C.extract(dict(headers or {}), context=Context())


def trace_id(headers: Mapping[str, str]) -> str:
    """The trace of a message's headers, as 32 hexadecimal digits; empty when they hold none."""
    context = trace.get_current_span(extract(headers)).get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


@contextmanager
def span(
    name: str, kind: SpanKind, *, parent: Context | None = None, attributes: Mapping[str, str] | None = None
) -> Generator[Span]:
    """A span around a block; an exception marks it as failed.

    Args:
        name: From a bounded set. Ids, and subjects that contain ids, go into `attributes`.
    """
    with _TRACER.start_as_current_span(
        name, context=parent, kind=kind, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def past_span(name: str, *, parent: Context, begin_ns: int, end_ns: int, attributes: Mapping[str, str]) -> None:
    """Record a span that already ended, as another process reported it.

    Args:
        name: As in `span`.
        begin_ns: Unix time in nanoseconds.
        end_ns: Unix time in nanoseconds.
    """
    _TRACER.start_span(name, context=parent, attributes=attributes, start_time=begin_ns).end(end_time=end_ns)


def shutdown(timeout_s: float = 2.0) -> None:
    """Export the queued spans within the deadline; an unreachable collector loses spans, and never delays the stop."""
    if _provider is None:
        return
    thread = threading.Thread(target=_provider.shutdown, name="telemetry-shutdown", daemon=True)
    thread.start()
    thread.join(timeout_s)
