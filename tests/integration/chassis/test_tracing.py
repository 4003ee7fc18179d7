"""The trace goes along with events and commands."""

from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import telemetry
from chassis.nats import Bus
from contracts.commands import END, EndJob, JobEnded
from tests.integration.chassis.events import tick
from tests.support.responding import respond

HERE = END.at("n1")
JOB = EndJob(session_id="session_1", epoch=1, reason="test")
EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def tracing() -> None:
    telemetry.configure("test", None, exporter=EXPORTER)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    EXPORTER.clear()
    yield
    EXPORTER.clear()


def spans() -> dict[str, ReadableSpan]:
    provider = trace.get_tracer_provider()
    provider.force_flush()  # pyright: ignore[reportAttributeAccessIssue]
    return {span.name: span for span in EXPORTER.get_finished_spans()}


async def test_a_published_event_carries_its_span(bus: Bus) -> None:
    await bus.publish(tick("session_1"))

    found = spans()
    published = found["publish tick"]
    assert published.context is not None
    assert published.kind is SpanKind.PRODUCER
    assert not any("session_1" in name for name in found)
    stored = await bus.last("voice.v1.session.tick.session_1")
    assert stored is not None
    assert stored.headers["traceparent"].split("-")[1] == f"{published.context.trace_id:032x}"


async def test_the_responders_span_is_a_child_of_the_requesters(bus: Bus) -> None:
    inside: list[int] = []

    async def end(_command: EndJob) -> JobEnded:
        inside.append(trace.get_current_span().get_span_context().trace_id)
        return JobEnded(found=True, served_ms=0, process_gone=True)

    responder = respond(bus, HERE.subject, end)
    await responder.start()
    await bus.request(HERE, JOB)
    await responder.stop()

    found = spans()
    requested, responded = found["request EndJob"], found["respond EndJob"]
    assert requested.context is not None
    assert responded.parent is not None
    assert responded.parent.span_id == requested.context.span_id
    assert inside == [requested.context.trace_id]
    assert (requested.kind, responded.kind) == (SpanKind.CLIENT, SpanKind.SERVER)
    assert not any("session_1" in name for name in found)


async def test_a_command_without_a_trace_begins_one(bus: Bus) -> None:
    async def end(_command: EndJob) -> JobEnded:
        return JobEnded(found=True, served_ms=0, process_gone=True)

    responder = respond(bus, HERE.subject, end)
    await responder.start()
    await bus.nc.request(HERE.subject, JOB.model_dump_json().encode())
    await responder.stop()

    assert spans()["respond EndJob"].parent is None
