"""The choice of the language model, with Groq's SDK over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from agent_runner.adapters.llm_model import choose_model
from agent_runner.agent_config import AgentConfig
from chassis.errors import StartFailed

Groq = Callable[[dict[str, int]], str]


@pytest.fixture
async def groq() -> AsyncIterator[Groq]:
    """Answers `GET /openai/v1/models/<model>` with the status given for the model, and the list with those of 200."""
    statuses: dict[str, int] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = request.split()[1]
        assert path.startswith("/openai/v1/models")
        assert "authorization: Bearer key" in request.replace("Authorization", "authorization")
        known = [{"id": m, "object": "model", "created": 1, "owned_by": "x"} for m, s in statuses.items() if s == 200]
        if path == "/openai/v1/models":
            status, answer = 200, {"object": "list", "data": known}
        else:
            status = statuses.get(path.removeprefix("/openai/v1/models/"), 404)
            answer = known[0] if status == 200 else {"error": {}}
        body = json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def answers(new: dict[str, int]) -> str:
        statuses.update(new)
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
    assert await choose_model(config(groq({"chosen": 200}))) == "chosen"


@pytest.mark.parametrize("status", [404, 403])
async def test_a_retired_model_gives_way_to_the_fallback(groq: Groq, status: int) -> None:
    assert await choose_model(config(groq({"chosen": status, "maker/spare": 200}))) == "maker/spare"


async def test_without_either_model_the_node_does_not_start(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="LLM_MODEL=chosen"):
        await choose_model(config(groq({})))


async def test_a_refused_key_is_named(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="GROQ_API_KEY"):
        await choose_model(config(groq({"chosen": 401})))


@pytest.mark.parametrize("status", [500, 429])
async def test_an_unwell_provider_decides_nothing(groq: Groq, status: int) -> None:
    assert await choose_model(config(groq({"chosen": status}))) == "chosen"


async def test_a_provider_that_is_away_decides_nothing() -> None:
    assert await choose_model(config("http://127.0.0.1:1/openai/v1")) == "chosen"


async def test_a_refused_key_does_not_keep_a_node_with_a_second_one_from_starting(groq: Groq) -> None:
    first = config(groq({"chosen": 401}))
    second = AgentConfig.model_validate({**first.model_dump(), "groq_fallback_api_key": "other"})
    assert await choose_model(second) == "chosen"
