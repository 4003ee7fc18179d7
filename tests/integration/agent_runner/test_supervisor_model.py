"""The choice of the language model, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from agent_runner.adapters.llm_model import choose_model
from agent_runner.agent_config import AgentConfig
from chassis.errors import StartFailed

Groq = Callable[..., str]


@pytest.fixture
async def groq() -> AsyncIterator[Groq]:
    """Answers `GET /openai/v1/models` with the status given, and the models of the account."""
    status, models = 200, list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert request.startswith("GET /openai/v1/models HTTP")
        assert "Authorization: Bearer key" in request
        known = [{"id": model, "object": "model", "created": 1, "owned_by": "x"} for model in models]
        body = json.dumps({"object": "list", "data": known} if status == 200 else {"error": {}}).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def answers(*known: str, with_status: int = 200) -> str:
        nonlocal status
        status = with_status
        models.extend(known)
        return f"http://127.0.0.1:{port}/openai/v1"

    yield answers
    server.close()


def config(base_url: str) -> AgentConfig:
    return AgentConfig.model_validate(
        {
            "assembly_api_key": "key",
            "groq_api_key": "key",
            "inworld_api_key": "key",
            "groq_base_url": base_url,
            "llm_model": "chosen",
            "llm_fallback_model": "maker/spare",
        }
    )


async def test_the_configured_model_is_used_when_it_exists(groq: Groq) -> None:
    assert await choose_model(config(groq("maker/spare", "chosen"))) == "chosen"


async def test_a_retired_model_gives_way_to_the_fallback(groq: Groq) -> None:
    assert await choose_model(config(groq("maker/spare"))) == "maker/spare"


async def test_without_either_model_the_node_does_not_start(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="LLM_MODEL=chosen"):
        await choose_model(config(groq()))


async def test_a_refused_key_is_named(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="GROQ_API_KEY"):
        await choose_model(config(groq(with_status=401)))


@pytest.mark.parametrize("status", [500, 429, 403])
async def test_an_unwell_provider_decides_nothing(groq: Groq, status: int) -> None:
    assert await choose_model(config(groq(with_status=status))) == "chosen"


async def test_a_provider_that_is_away_decides_nothing() -> None:
    assert await choose_model(config("http://127.0.0.1:1/openai/v1")) == "chosen"


async def test_a_key_that_no_header_can_hold_decides_nothing(groq: Groq) -> None:
    pasted = AgentConfig.model_validate({**config(groq("chosen")).model_dump(), "groq_api_key": "\u201ckey\u201d"})
    assert await choose_model(pasted) == "chosen"


async def test_an_answer_that_is_no_list_decides_nothing(groq: Groq) -> None:
    assert await choose_model(config(groq(with_status=204))) == "chosen"


async def test_a_refused_key_does_not_keep_a_node_with_a_second_one_from_starting(groq: Groq) -> None:
    first = config(groq(with_status=401))
    second = AgentConfig.model_validate({**first.model_dump(), "groq_fallback_api_key": "other"})
    assert await choose_model(second) == "chosen"
