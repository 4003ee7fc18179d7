"""What the caller, a tool or a provider says is in no line at INFO and above."""

import ast
import json
import logging
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pipecat
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
from agent_runner.worker.process.line_templates import GONE, Template, is_logged, template, without_values
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
    job._pipeline = SimpleNamespace(llm=SimpleNamespace(answer=SimpleNamespace(has_begun=False, asked_at=0.0)))
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


PIPECAT = Path(pipecat.__file__).parent
SPOKEN = ("Xylophone", "Xylophone: it's #1 [2] (HTTP 401)\nError: on_Xylophone", "TTS Xylophone#1, attempt 2 Xylophone")


@cache
def logged() -> dict[tuple[str, int], Template]:
    """Path in Pipecat and line of each call of a logger at INFO or above -> its message; empty: not understood."""
    found: dict[tuple[str, int], Template] = {}
    for file in sorted(PIPECAT.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if is_logged(node):
                found[(str(file.relative_to(PIPECAT)), node.lineno)] = template(str(file), node.lineno) or ()
    return found


@pytest.mark.parametrize("spoken", SPOKEN)
def test_no_call_of_a_logger_in_pipecat_can_repeat_words(spoken: str) -> None:
    assert len(logged()) > 1_000
    for (file, line), parts in logged().items():
        message = "".join(spoken if is_value else part for part, is_value in parts)
        kept = without_values(str(PIPECAT / file), line, "run", message)
        assert WORDS not in kept, f"{file}:{line}: {kept}"
        assert kept == message or GONE in kept, f"{file}:{line}: {kept}"
        if parts and not parts[0][1]:
            assert kept.startswith(parts[0][0]), f"{file}:{line}: {kept}"


def test_most_calls_of_a_logger_in_pipecat_keep_what_their_source_says() -> None:
    texts = [parts for parts in logged().values() if any(not is_value for _, is_value in parts)]
    assert len(texts) > 0.95 * len(logged())


def test_a_line_whose_source_is_not_there_keeps_the_function_s_name() -> None:
    assert without_values("/no/such/file.py", 3, "run_tts", "TTS#0: Xylophone") == f"run_tts: {GONE}"
    assert without_values(__file__, 1, "run_tts", "Xylophone") == f"run_tts: {GONE}", "not a call of a logger"


@pytest.mark.parametrize(
    ("file", "text", "line", "kept"),
    [
        ("processors/frame_processor.py", "", "TTS#0 exception (/a/tts.py:860): 'Xylophone'", "push: TTS#0…"),
        ("pipeline/worker.py", "Something went wrong", "W#0: Something went wrong: ErrorFrame#3(error: Xylophone)",
         "W#0: Something went wrong: ErrorFrame#3…"),
        ("services/tts_service.py", "not speaking", "TTS#0: service is no longer usable, not speaking [Xylophone]",
         "TTS#0: service is no longer usable, not speaking […]"),
        ("services/openai/base_llm.py", "Failed to parse", "LLM#0: Failed to parse function call arguments: {Xylophone",
         "LLM#0: Failed to parse function call arguments: …"),
        ("utils/context/aggregated_frame_sequencer.py", "Dropping word",
         "TTS#0 Dropping word 'Xylophone' not recognised by any slot.",
         "TTS#0 Dropping word '…' not recognised by any slot."),
        ("services/ai_service.py", "exception processing", "S#0: exception processing EndFrame#1(a: 2): Xylophone",
         "S#0: exception processing EndFrame#1…: …"),
        ("services/assemblyai/stt.py", "non-JSON", "Received non-JSON message: Xylophone",
         "Received non-JSON message: …"),
        ("services/websocket_service.py", "reconnection attempt", "TTS#0 reconnection attempt 1 failed: a: HTTP 401",
         "TTS#0 reconnection attempt 1 failed: HTTP 401…"),
        ("services/websocket_service.py", "reconnected successfully on", "TTS#0 reconnected successfully on attempt 2",
         "TTS#0 reconnected successfully on attempt 2"),
        ("transports/livekit/transport.py", "Error connecting", "Error connecting to r: no route",
         "Error connecting to r: no route"),
    ],
)  # fmt: skip
def test_pipecats_lines(caplog: pytest.LogCaptureFixture, file: str, text: str, line: str, kept: str) -> None:
    at = next(n for (name, n), parts in logged().items() if name == file and text in "".join(p for p, _ in parts))
    if not text:
        at = next(n for (name, n), parts in logged().items() if name == file and parts == (("error_message", True),))
    name = f"pipecat.{file.removesuffix('.py').replace('/', '.')}"
    place = {"name": name, "file": SimpleNamespace(path=str(PIPECAT / file)), "line": at, "function": "push"}
    assert logged_as(caplog, place, line) == [kept]
    assert caplog.records[0].message == line, "at DEBUG"


def test_other_lines_are_kept_whole(caplog: pytest.LogCaptureFixture) -> None:
    line = "a failed (BadRequestError): b"
    assert logged_as(caplog, {"name": "agent_runner.worker"}, line) == [line]


def test_of_an_error_that_pipecat_logs_only_the_class_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError(WORDS)
    except ValueError as error:
        lines = logged_as(caplog, {"name": "pipecat.pipeline.worker", "function": "push"}, "it failed", error)
    assert lines == ["push: … (ValueError)"]
    assert WORDS not in "".join(str(r.exc_text) for r in caplog.records if r.levelno > logging.DEBUG)


def logged_as(
    caplog: pytest.LogCaptureFixture, place: dict[str, Any], line: str, error: Exception | None = None
) -> list[str]:
    """What a job's log has at INFO and above of a line from this place."""
    log_lines.take(go("s1"))
    sink = logger.add(log_lines._pass_on, level="DEBUG", format="{message}")
    try:
        with caplog.at_level(logging.DEBUG):
            logger.patch(lambda record: record.update(**place)).opt(exception=error).error(line)
    finally:
        logger.remove(sink)
        log_lines._stamp.ids = {}
    return [r.message for r in caplog.records if r.levelno > logging.DEBUG]
