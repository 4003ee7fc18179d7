"""A call whose language model is a strict server at LLM_BASE_URL."""

import pytest

from agent_runner.link.messages import Failed, Turn
from tests.integration.agent_runner.worker_stage import Greet
from tests.support.strict_llm import FIELDS, strict_server

QUESTION = "How are you doing today my friend?"
MODEL = {"llm_models": "any", "llm_model": None, "llm_fallback_model": None}


async def test_a_server_that_refuses_unknown_fields_answers_a_call(greet: Greet) -> None:
    async with strict_server() as server:
        worker, caller = await greet(llm_base_url=server.url, **MODEL)
        await caller.type(QUESTION)
        answer = await worker.heard(Turn, 2)
        assert (answer.user_text, answer.heard_text) == (QUESTION, "I am fine.")
    assert [set(body) for body in server.asked] == [FIELDS]
    assert {message["role"] for message in server.asked[0]["messages"]} <= {"system", "user", "assistant"}


@pytest.mark.parametrize(
    ("status", "told"), [(401, "authentication: AuthenticationError 401"), (404, "invalid_request: NotFoundError 404")]
)
async def test_a_refusal_ends_the_call_with_its_status_model_and_host(greet: Greet, status: int, told: str) -> None:
    async with strict_server() as server:
        server.status, server.refusal = status, "Xylophone"
        worker, caller = await greet(llm_base_url=server.url, **MODEL)
        await caller.type(QUESTION)
        failed = await worker.heard(Failed)
        assert (failed.provider, failed.name) == ("llm", f"{told}; model any at {server.url.split('/')[2]}")
