"""What a failed request to a language model means."""

from typing import Any

import httpx
import pytest
from openai import APIError

from agent_runner.worker.providers.llm_errors import fault_of, is_too_large
from tests.support.llm_refusals import OTHERS, TOO_LARGE, refused_by


@pytest.mark.parametrize("server", TOO_LARGE)
def test_a_request_that_a_server_refuses_for_its_size_is_too_large(server: str) -> None:
    error = refused_by(400, TOO_LARGE[server])
    assert is_too_large(error)
    assert fault_of(error) == "slow"


@pytest.mark.parametrize("server", ["llama.cpp", "LiteLLM"])
def test_a_refusal_may_come_within_the_answer(server: str) -> None:
    request: Any = httpx.Request("POST", "http://server")
    assert is_too_large(APIError("An error occurred", request, body=TOO_LARGE[server]["error"]))


def test_the_status_is_enough() -> None:
    assert is_too_large(refused_by(413, {"error": {"message": "Request too large for this model"}}))


@pytest.mark.parametrize("refusal", OTHERS)
def test_other_refusals_are_none_for_the_size(refusal: str) -> None:
    assert not is_too_large(refused_by(400, OTHERS[refusal]))


def test_other_errors_are_none_for_the_size() -> None:
    assert not is_too_large(ValueError("maximum context length"))
