"""The trace goes along with events and commands."""

import asyncio
from collections.abc import Iterator

import pytest
from chassis.nats import Bus, Stored, consumer, respond
from contracts.commands import END, EndJob, JobEnded
from contracts.events import Event
from contracts.subjects import session_event
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from chassis import telemetry
from tests.integration.chassis.events import tick
from tests.support.waiting import until

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


async def test_the_consumers_span_is_a_child_of_the_publishers(bus: Bus) -> None:
    inside: list[int] = []

    async def handle(_event: Event, _meta: Stored) -> None:
        inside.append(trace.get_current_span().get_span_context().trace_id)

    reader = consumer(bus, "reader", [session_event("tick", "*")], handle)
    await reader.start()
    await bus.publish(tick("session_1"))
    await until(lambda: len(inside) == 1)
    await reader.stop()

    found = spans()
    published, handled = found["publish tick"], found["reader tick"]
    assert published.context is not None
    assert handled.parent is not None
    assert handled.parent.span_id == published.context.span_id
    assert inside == [published.context.trace_id]
    assert (published.kind, handled.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert not any("session_1" in name for name in found)
    stored = await bus.last("voice.v1.session.tick.session_1")
    assert stored is not None
    assert stored.headers["traceparent"].split("-")[1] == f"{published.context.trace_id:032x}"


async def test_the_responders_span_is_a_child_of_the_requesters(bus: Bus) -> None:
    async def end(_command: EndJob) -> JobEnded:
        return JobEnded(found=True, served_ms=0, process_gone=True)

    responder = respond(bus, "voice.v1.node.n1.end", EndJob, end)
    await responder.start()
    await bus.request(END.at("n1"), EndJob(session_id="session_1", epoch=1, reason="x"))
    await responder.stop()
    await asyncio.sleep(0)

    found = spans()
    requested, responded = found["request EndJob"], found["respond EndJob"]
    assert requested.context is not None
    assert responded.parent is not None
    assert responded.parent.span_id == requested.context.span_id


async def test_a_message_without_a_trace_begins_one(bus: Bus) -> None:
    seen: list[str] = []

    async def handle(event: Event, _meta: Stored) -> None:
        seen.append(event.session_id)

    reader = consumer(bus, "reader", [session_event("tick", "*")], handle)
    await reader.start()
    event = tick()
    await bus.publish_raw(event.subject, event.model_dump_json().encode(), headers={"Nats-Msg-Id": "1"})
    await until(lambda: len(seen) == 1)
    await reader.stop()

    assert spans()["reader tick"].parent is None
