"""The trace context in headers."""

import time
from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.span_ids import SwitchedProvider

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_was_extracted_is_the_parent_of_what_is_injected() -> None:
    telemetry.configure("test", None)
    with telemetry.span("work", SpanKind.CONSUMER, parent=telemetry.extract({"traceparent": TRACEPARENT})):
        headers = telemetry.inject()
    assert headers["traceparent"].split("-")[1] == TRACEPARENT.split("-")[1]
    assert headers["traceparent"] != TRACEPARENT


def test_outside_a_span_nothing_is_injected() -> None:
    assert telemetry.inject() == {}


@pytest.mark.parametrize("headers", [None, {}, {"traceparent": "rubbish"}, {"traceparent": "00-0-0-00"}])
def test_without_a_usable_context_a_new_trace_begins(headers: dict[str, str] | None) -> None:
    telemetry.configure("test", None)
    with (
        telemetry.span("outer", SpanKind.SERVER),
        telemetry.span("work", SpanKind.CONSUMER, parent=telemetry.extract(headers)) as span,
    ):
        assert trace.get_current_span() is span
        assert getattr(span, "parent", None) is None


def test_a_failure_is_marked_and_passed_on() -> None:
    telemetry.configure("test", None, exporter=InMemorySpanExporter())
    with pytest.raises(KeyError), telemetry.span("work", SpanKind.INTERNAL) as span:
        raise KeyError("k")
    status = getattr(span, "status", None)
    assert status is not None
    assert (status.status_code.name, status.description) == ("ERROR", "KeyError")


def test_without_an_exporter_a_span_is_its_ids_alone() -> None:
    provider = SwitchedProvider()
    tracer = provider.get_tracer("test")
    unsampled = telemetry.extract({"traceparent": TRACEPARENT.removesuffix("01") + "00"})

    spans = [
        tracer.start_span("work", telemetry.extract({"traceparent": TRACEPARENT})),
        tracer.start_span("work", unsampled),
        tracer.start_span("work", telemetry.extract(None)),
    ]
    provider.exports = True
    recording = tracer.start_span("work", telemetry.extract({"traceparent": TRACEPARENT}))

    assert [span.is_recording() for span in (*spans, recording)] == [False, False, False, True]
    contexts = [span.get_span_context() for span in (*spans, recording)]
    trace_id = TRACEPARENT.split("-")[1]
    assert [f"{context.trace_id:032x}" == trace_id for context in contexts] == [True, True, False, True]
    assert [context.trace_flags.sampled for context in contexts] == [True, False, True, True]
    assert len({context.span_id for context in contexts}) == 4
    assert all(context.is_valid and not context.is_remote for context in contexts)


class Stuck(SpanExporter):
    """A collector that never answers."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        time.sleep(5)
        return SpanExportResult.FAILURE


def test_a_collector_that_hangs_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Stuck()))
    monkeypatch.setattr(telemetry, "_provider", provider)
    provider.get_tracer("test").start_span("work").end()

    started = time.monotonic()
    telemetry.shutdown(0.3)

    assert time.monotonic() - started < 1
