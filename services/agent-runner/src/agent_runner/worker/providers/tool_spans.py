"""Spans of a session's tools, by OpenTelemetry's GenAI conventions: `execute_tool NAME`, beside the model's calls."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode

from chassis import telemetry

_OPERATION: Final = "execute_tool"
_TYPE: Final = "extension"  # the agent's side calls the tool, as the conventions name it


@contextmanager
def executing(name: str, call_id: str = "") -> Generator[Span]:
    """The span of one execution; without a traced call it records nothing.

    Its parent is that of the model's call that asked for the tool: the turn.

    Args:
        call_id: The model's id of the call.
    """
    parent = trace.set_span_in_context(NonRecordingSpan(_turn(trace.get_current_span())))
    told = {"gen_ai.operation.name": _OPERATION, "gen_ai.tool.name": name, "gen_ai.tool.type": _TYPE}
    if call_id:
        told["gen_ai.tool.call.id"] = call_id
    with telemetry.span(f"{_OPERATION} {name}", SpanKind.INTERNAL, parent=parent, attributes=told) as span:
        yield span


def failed(span: Span, kind: str, text: str) -> None:
    """Mark an execution as failed.

    Args:
        kind: One of few names: `timeout`, a status, an exception's class.
        text: Leaves the process only with the words of the conversation.
    """
    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR, text))


def _turn(asked: Span) -> SpanContext:
    """The parent of the model's span; of a span without one, itself."""
    parent = asked.parent if isinstance(asked, ReadableSpan) else None
    return parent or asked.get_span_context()
