"""Logs: structlog over the standard library's logging, so that lines of libraries take the same path."""

import logging
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any, Final

from opentelemetry import trace

from chassis.imports import without
from chassis.redaction import HIDDEN, hide

with without("rich"):  # saves 2.6 MB: only coloured tracebacks need it
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

_SECRET_KEY: Final = re.compile(
    r"token|secret|password|passwd|api_?key|words_?key|authorization|credential|cookie", re.IGNORECASE
)
_MAX_TEXT: Final = 20_000  # characters of one field; longer text is truncated


class _Stderr(logging.Handler):
    """Looks up `sys.stderr` for each line: pytest replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)


def configure(service: str, *, format: str = "json", level: str = "INFO") -> None:
    """Send all logs of this process to stderr, one line each.

    Args:
        service: A field of each line.
        format: "json", or "console" for people.
        level: The lowest level shown.
    """

    def add_service(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
        line["service"] = service
        return line

    added: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        add_service,
        _add_trace,
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="time")
        if format == "console"
        else structlog.processors.JSONRenderer(default=str)
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *added,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    _replace_handlers(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=added,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        ),
        level,
    )


def _replace_handlers(formatter: logging.Formatter, level: str) -> None:
    """Send the lines of all loggers, including those of libraries, through one handler."""
    # Finding the source line of a log call costs more than the rest of the line, and no format shows it.
    # Source: https://docs.python.org/3/howto/logging.html#optimization
    logging._srcfile = None  # pyright: ignore[reportAttributeAccessIssue, reportPrivateUsage]
    handler = _Stderr()
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        third = logging.getLogger(name)
        third.handlers.clear()
        third.propagate = True
    for name in ("uvicorn.access", "httpx", "httpcore", "nats"):  # one line per request adds nothing to the metrics
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def get_logger(name: str = "") -> structlog.stdlib.BoundLogger:
    """A logger: `log.info("job.assigned", node_id=...)`."""
    return structlog.stdlib.get_logger(name)


class bind_session:  # noqa: N801 - reads as a verb, like contextlib's
    """Add the session's id to each log line of this task from now on, or of a `with` block."""

    def __init__(self, session_id: str) -> None:
        self._tokens = structlog.contextvars.bind_contextvars(session_id=session_id)

    def __enter__(self) -> "bind_session":
        return self

    def __exit__(self, *_: object) -> None:
        structlog.contextvars.reset_contextvars(**self._tokens)


def with_fields(**fields: str) -> AbstractContextManager[None]:
    """Add these fields to each log line of a `with` block."""
    return structlog.contextvars.bound_contextvars(**fields)


def trace_ids() -> dict[str, str]:
    """The current trace id, for a logger that outlives the span: `log.bind(**logs.trace_ids())`."""
    context = trace.get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}"} if context.is_valid else {}


def _add_trace(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
        line["span_id"] = f"{context.span_id:016x}"
    return line


def redact(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Hide fields named like a secret, and values that look like one."""
    return {key: _clean(key, value) for key, value in line.items()}


def _clean(key: str, value: Any) -> Any:
    if key.startswith("_"):  # structlog's own
        return value
    if _SECRET_KEY.search(key) and value is not None and not isinstance(value, bool | int | float):
        return HIDDEN
    if isinstance(value, str):
        return hide(value if len(value) <= _MAX_TEXT else value[:_MAX_TEXT] + "...")
    if isinstance(value, Mapping):
        return {str(k): _clean(str(k), v) for k, v in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        return [_clean("", v) for v in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, BaseException):
        return hide(f"{type(value).__name__}: {value}")
    return value
