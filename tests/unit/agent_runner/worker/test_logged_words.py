"""What the caller, a tool or a provider says is in no line at INFO and above."""

import json
import logging
from types import SimpleNamespace
from typing import Any

import pytest
from loguru import logger
from pipecat.frames.frames import ErrorFrame
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.utils.errors import ErrorCategory
from structlog.testing import capture_logs

from agent_runner.agent_config import AgentConfig
from agent_runner.domain.job import JobState
from agent_runner.worker.call.job import Job
from agent_runner.worker.process import log_lines
from agent_runner.worker.providers.tool_requests import ToolFailed
from agent_runner.worker.providers.tts import TextToSpeech
from contracts.tools import RecordedTool
from tests.support.commands import go
from tests.support.toolbox import toolbox

# pyright: reportPrivateUsage=false

WORDS = "Xylophone"
KEYS = {"assembly_api_key": "k", "groq_api_key": "k", "inworld_api_key": "k"}


def shown(lines: list[Any]) -> str:
    return json.dumps([line for line in lines if line["log_level"] != "debug"])


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (ToolFailed(f"status 500: no table for {WORDS}", kind="500"), "500"),
        (ToolFailed("its host is not in TOOL_ALLOWED_HOSTS of this node"), "TOOL_ALLOWED_HOSTS"),
    ],
)
async def test_a_tools_failure(monkeypatch: pytest.MonkeyPatch, error: ToolFailed, logged: str) -> None:
    box = toolbox([RecordedTool(name="book", description="Books.", parameters={}, url="http://tool")], [])

    async def send(*_: object) -> None:
        raise error

    monkeypatch.setattr(box._requests, "send", send)
    with capture_logs() as lines:
        found, _ = await box.call("book", {})
    assert found == {"error": str(error)}, "the model reads it"
    assert "tool.failed" in shown(lines)
    assert logged in shown(lines)
    assert WORDS not in shown(lines)


def test_a_pipelines_error() -> None:
    taken: list[Any] = []
    job: Any = SimpleNamespace(_state=JobState(has_job=True), _take=taken.append)
    job._log = log_lines.logs.get_logger()
    job._pipeline = SimpleNamespace(llm=SimpleNamespace(has_begun=False, asked_at=0.0))
    with capture_logs() as lines:
        Job._on_error(job, "llm", f"you said {WORDS}", False, "server: NoAnswer")
        Job._on_error(job, None, f"you said {WORDS}", True, "application: ValueError")
    assert shown(lines).count("pipeline.error") == 2
    assert "server: NoAnswer" in shown(lines)
    assert WORDS not in shown(lines)
    _, (_, end) = taken[-1]
    assert end.detail == "application: ValueError", "which the end of the call logs"


async def test_a_move_to_the_next_endpoint(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    tts = TextToSpeech.of(AgentConfig.model_validate({**KEYS, "inworld_fallback_api_key": "other"}))

    async def pushed(*_: object) -> None: ...

    monkeypatch.setattr(FrameProcessor, "push_error_frame", pushed)
    error = ErrorFrame(f"cannot say {WORDS}", exception=ValueError(WORDS), category=ErrorCategory.AUTHENTICATION)
    await tts.push_error_frame(error)
    assert "authentication: ValueError" in "".join(said)
    assert WORDS not in "".join(said)


P = "pipecat.processors.frame_processor"


@pytest.mark.parametrize(
    ("source", "line", "kept"),
    [
        (P, "TTS#0 exception (/a/tts.py:860): 'Xylophone'\nis long", "TTS#0 exception (/a/tts.py:860)"),
        (P, "TTS#0 error: Xylophone", "TTS#0 error"),
        (P, "Worker#0: Something went wrong: ErrorFrame#3(error: Xylophone)", "Worker#0: Something went wrong"),
        (P, "A fatal error occurred: ErrorFrame#3(error: Xylophone)", "A fatal error occurred"),
        (P, "TTS#0: service is no longer usable, not speaking [Xylophone]", None),
        (
            P,
            "LLM#0: Failed to parse function call arguments: {Xylophone",
            "LLM#0: Failed to parse function call arguments",
        ),
        (P, "LLM#0: Error generating context summary: Xylophone", "LLM#0: Error generating context summary"),
        (P, "S#0: Context summarization failed: Error: Xylophone", "S#0: Context summarization failed"),
        (P, "S#0: exception processing EndFrame#1(a: 2): Xylophone", "S#0: exception processing EndFrame#1(a"),
        (P, "Received non-JSON message: Xylophone", "Received non-JSON message"),
        (P, "TTS#0 reconnection attempt 1 failed: HTTP 401", "TTS#0 reconnection attempt 1 failed: HTTP 401"),
        ("pipecat.transports.livekit.transport", "Error connecting to r: no route", "Error connecting to r: no route"),
        ("agent_runner.worker", "a failed (BadRequestError): b", "a failed (BadRequestError): b"),
    ],
)
def test_pipecats_lines(caplog: pytest.LogCaptureFixture, source: str, line: str, kept: str | None) -> None:
    log_lines.take(go("s1"))
    sink = logger.add(log_lines._pass_on, level="DEBUG", format="{message}")
    try:
        with caplog.at_level(logging.DEBUG):
            logger.patch(lambda record: record.update(name=source)).error(line)
    finally:
        logger.remove(sink)
        log_lines._stamp.ids = {}
    assert [r.message for r in caplog.records if r.levelno > logging.DEBUG] == [kept or line.partition(" [")[0]]
    assert caplog.records[0].message == line, "at DEBUG"
