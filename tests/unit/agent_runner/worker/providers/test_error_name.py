"""What a language model's error is called in the log and in the session's events."""

from typing import Any

import httpx
import pytest
from openai import APIConnectionError
from pipecat.frames.frames import ErrorFrame

from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers.error_name import error_name, named
from agent_runner.worker.providers.llm import NoAnswer
from agent_runner.worker.providers.ways import Way
from contracts.failed_requests import FailedRequest
from tests.support.llm_refusals import refused_by


@pytest.mark.parametrize(
    ("status", "url", "error", "host"),
    [
        (401, "http://127.0.0.1:8000/v1", "AuthenticationError", "127.0.0.1:8000"),
        (404, "https://user:secret@host/v1?key=secret", "NotFoundError", "host"),
    ],
)
def test_it_has_status_model_and_host_and_no_text_of_the_server(status: int, url: str, error: str, host: str) -> None:
    refused = refused_by(status, {"error": {"message": "no answer to Xylophone", "code": "Xylophone"}})
    name = error_name(ErrorFrame("", exception=refused), Way(Endpoint(url, "secret"), "any"))
    assert name == f"unknown: {error} {status}; model any at {host}"
    assert FailedRequest.of(name) == FailedRequest(error, status, "any", host)


def test_without_an_answer_it_has_the_cause_the_model_and_the_host() -> None:
    error = NoAnswer("no answer to Xylophone")
    request: Any = httpx.Request("POST", "http://host")
    error.__cause__ = APIConnectionError(request=request)
    name = error_name(ErrorFrame("", exception=error), Way(Endpoint("http://host:1/v1", ""), "openai/gpt-5 at home"))
    assert name == "unknown: NoAnswer: APIConnectionError; model openai/gpt-5 at home at host:1"
    assert FailedRequest.of(name) == FailedRequest("APIConnectionError", None, "openai/gpt-5 at home", "host:1")


def test_a_long_model_and_host_leave_room_for_the_error() -> None:
    name = error_name(ErrorFrame("", exception=NoAnswer()), Way(Endpoint(f"http://{'h' * 250}/", ""), "m" * 500))
    assert len(name) < 300
    assert FailedRequest.of(name) == FailedRequest("NoAnswer", None, "m" * 100, "h" * 80)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("tool_use_failed", "BadRequestError 400 tool_use_failed"),
        (400, "BadRequestError 400 400"),
        ("no call for Xylophone", "BadRequestError 400"),
        (None, "BadRequestError 400"),
    ],
)
def test_a_servers_code_is_named_unless_it_is_a_text(code: str | int | None, name: str) -> None:
    assert named(refused_by(400, {"error": {"message": "Xylophone", "code": code}})) == name
