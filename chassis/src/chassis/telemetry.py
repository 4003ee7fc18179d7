"""Traces: W3C context in message headers, spans around what crosses the bus, OTLP where configured."""

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

with without("psutil"):  # 0.8 MB for a detector of the process's owner, which we do not use
    from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from chassis.span_ids import SwitchedProvider

_QUEUE: Final = 2048  # spans; more are dropped rather than slow a call down
_EXPORT_TIMEOUT_S: Final = 5

# Only the trace context crosses: baggage would carry strangers' data into our messages.
_W3C: Final[TextMapPropagator] = TraceContextTextMapPropagator()
_TRACER: Final = trace.get_tracer("chassis")

_provider: SwitchedProvider | None = None


def configure(service: str, endpoint: str | None, *, exporter: SpanExporter | None = None) -> None:
    """Make spans in this process; without an endpoint they only lend their ids to logs and messages.

    Args:
        service: The resource's `service.name`.
        endpoint: An OTLP/HTTP collector, such as http://127.0.0.1:4318; None exports nothing.
        exporter: Used instead of OTLP, by tests.
    """
    global _provider
    propagate.set_global_textmap(_W3C)
    if _provider is None:  # OpenTelemetry takes the first provider of a process and no other
        _provider = SwitchedProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        trace.set_tracer_provider(_provider)
    if exporter is None and endpoint:
        exporter = otlp(endpoint, _EXPORT_TIMEOUT_S)
    if exporter is not None:
        _provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
        _provider.exports = True


def otlp(endpoint: str, timeout_s: float) -> SpanExporter:
    """An exporter to an OTLP/HTTP collector.

    Its import costs 6 MB, which a process that exports nothing does without.

    Args:
        endpoint: Such as http://127.0.0.1:4318.
        timeout_s: Of one export.
    """
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=timeout_s)


def inject() -> dict[str, str]:
    """The current trace context as message headers; empty outside a span."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers


def extract(headers: Mapping[str, str] | None) -> Context:
    """The trace context of a message's headers; an empty one when there is none."""
    return _W3C.extract(dict(headers or {}), context=Context())


@contextmanager
def span(
    name: str, kind: SpanKind, *, parent: Context | None = None, attributes: Mapping[str, str] | None = None
) -> Generator[Span]:
    """A span around a block; an exception marks it as failed.

    Args:
        name: Of a bounded set: no id and no subject that holds one; those go into `attributes`.
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
    """A span of something that is over, told by another process.

    Args:
        name: As in `span`.
        begin_ns: Unix time.
        end_ns: Likewise.
    """
    _TRACER.start_span(name, context=parent, attributes=attributes, start_time=begin_ns).end(end_time=end_ns)


def shutdown(timeout_s: float = 2.0) -> None:
    """Send what is queued, within the deadline; a collector that is away costs the spans, not the stop."""
    if _provider is None:
        return
    thread = threading.Thread(target=_provider.shutdown, name="telemetry-shutdown", daemon=True)
    thread.start()
    thread.join(timeout_s)
