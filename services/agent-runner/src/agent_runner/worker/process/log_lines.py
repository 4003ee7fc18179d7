"""A worker's log: every line of the process, from any library, with the session's ids, into the session's file."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from loguru import logger
from opentelemetry import trace

from chassis import logs, telemetry

if TYPE_CHECKING:
    from loguru import Message

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import Go
from agent_runner.worker.process.line_templates import without_values

_SERVICE: Final = "agent-worker"
_MODE: Final = 0o640
_QUOTES_LIVEKIT: Final = "pipecat.transports.livekit."
"""The part of Pipecat whose lines are kept whole: they quote LiveKit, and ids of rooms, tracks and participants."""


class _Stamp(logging.Filter):
    """Adds the job's ids to every line: tasks of Pipecat and LiveKit have none, our own tasks lack the trace id."""

    ids: dict[str, str | int]

    def __init__(self) -> None:
        super().__init__()
        self.ids = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Pass every line during a call, and only warnings before it."""
        record.__dict__.update(self.ids)
        message = cast("str | dict[str, Any]", record.msg)
        if isinstance(message, dict):  # structlog's line; its formatter does not read the record
            record.msg = {**self.ids, **message}
        return bool(self.ids) or record.levelno >= logging.WARNING


_stamp = _Stamp()


def configure(config: AgentConfig) -> None:
    """Write the lines of structlog, logging and loguru to stderr in the configured format."""
    logs.configure(_SERVICE, format=config.log_format, level=config.log_level)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_stamp)
    logger.remove()
    logger.add(_pass_on, level=config.log_level, format="{message}")
    logging.getLogger("websockets").setLevel(logging.WARNING)  # at DEBUG it logs API keys
    for name in ("openai", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)


def take(go: Go) -> None:
    """Redirect descriptors 1 and 2 into the job's file, so that the output of a crash is in it too."""
    context = trace.get_current_span(telemetry.extract({"traceparent": go.traceparent} if go.traceparent else None))
    trace_id = context.get_span_context().trace_id
    _stamp.ids = {"session_id": go.session_id, "epoch": go.epoch}
    if trace_id:
        _stamp.ids["trace_id"] = f"{trace_id:032x}"
    if go.log_file is None:
        return
    Path(go.log_file).parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(go.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def job_ids() -> dict[str, str | int]:
    """The ids for lines of our own loggers."""
    return dict(_stamp.ids)


def _pass_on(message: "Message") -> None:
    record = message.record
    error = record["exception"]
    name, text, level = record["name"] or "pipecat", record["message"], record["level"].no
    log = logging.getLogger(name)
    raised = (error.type, error.value, error.traceback) if error and error.type and error.value else None
    # Only a job has words that a line may quote.
    if _stamp.ids and level > logging.DEBUG and name.startswith("pipecat.") and not name.startswith(_QUOTES_LIVEKIT):
        said = without_values(record["file"].path, record["line"], record["function"], text)
        said += f" ({raised[0].__name__})" if raised else ""
        if raised or said != text:
            log.debug(text, exc_info=raised)
        text, raised = said, None
    log.log(level, text, exc_info=raised)
