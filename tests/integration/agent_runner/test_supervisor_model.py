"""The choice of the language model, over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from agent_runner.adapters.llm_model import choose_models, with_models
from agent_runner.agent_config import AgentConfig
from chassis.errors import StartFailed
from tests.support.strict_llm import strict_server

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


BOTH = ("chosen", "maker/spare")


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


async def test_models_that_the_account_has_are_used_in_order(groq: Groq) -> None:
    assert await choose_models(config(groq("maker/spare", "chosen"))) == BOTH


async def test_a_retired_model_is_dropped(groq: Groq) -> None:
    assert await choose_models(config(groq("maker/spare"))) == ("maker/spare",)


async def test_of_the_default_models_two_are_left(groq: Groq) -> None:
    named = config(groq("openai/gpt-oss-20b", "openai/gpt-oss-120b", "other"))
    default = named.model_copy(update={"llm_model": None, "llm_fallback_model": None})
    assert (await with_models(default)).models == ("openai/gpt-oss-120b", "openai/gpt-oss-20b")


def other(base_url: str) -> AgentConfig:
    given = {**config("http://127.0.0.1:1/openai/v1").model_dump(exclude_unset=True), "llm_models": "qwen3:8b"}
    return AgentConfig.model_validate({**given, "llm_base_url": base_url, "llm_model": None, "llm_api_key": "sk-1"})


async def test_another_servers_list_decides_nothing_and_is_no_news() -> None:
    async with strict_server() as server:
        with capture_logs() as lines:
            assert await choose_models(other(server.url)) == ("qwen3:8b", "maker/spare")
    assert server.keys == ["bearer sk-1"]
    assert lines == []


async def test_a_server_without_a_list_of_models_is_no_news() -> None:
    async with strict_server() as server:
        server.status = 404
        with capture_logs() as lines:
            assert await choose_models(other(server.url)) == ("qwen3:8b", "maker/spare")
    assert lines == []


@pytest.mark.parametrize("status", [401, 403])
async def test_another_server_that_refuses_the_key_is_told_and_the_node_starts(status: int) -> None:
    async with strict_server() as server:
        server.status, server.refusal = status, "Xylophone"
        with capture_logs() as lines:
            assert await choose_models(other(server.url)) == ("qwen3:8b", "maker/spare")
    assert [(line["event"], line["log_level"], line["status"]) for line in lines] == [
        ("llm.key_refused", "warning", status)
    ]
    assert "Xylophone" not in str(lines)


async def test_another_server_that_is_away_is_told_and_the_node_starts() -> None:
    with capture_logs() as lines:
        assert await choose_models(other("http://127.0.0.1:1/v1")) == ("qwen3:8b", "maker/spare")
    assert [(line["event"], line["log_level"]) for line in lines] == [("llm.not_reached", "warning")]
    assert "LLM_BASE_URL" in lines[0]["fix"]


async def test_without_any_model_the_node_does_not_start(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="chosen, maker/spare"):
        await choose_models(config(groq()))


async def test_a_refused_key_is_named(groq: Groq) -> None:
    with pytest.raises(StartFailed, match="GROQ_API_KEY"):
        await choose_models(config(groq(with_status=401)))


@pytest.mark.parametrize("status", [500, 429, 403])
async def test_an_unwell_provider_decides_nothing(groq: Groq, status: int) -> None:
    assert await choose_models(config(groq(with_status=status))) == BOTH


async def test_a_provider_that_is_away_decides_nothing() -> None:
    assert await choose_models(config("http://127.0.0.1:1/openai/v1")) == BOTH


async def test_a_key_that_no_header_can_hold_decides_nothing(groq: Groq) -> None:
    pasted = AgentConfig.model_validate({**config(groq("chosen")).model_dump(), "groq_api_key": "\u201ckey\u201d"})
    assert await choose_models(pasted) == BOTH


async def test_an_answer_that_is_no_list_decides_nothing(groq: Groq) -> None:
    assert await choose_models(config(groq(with_status=204))) == BOTH


async def test_a_refused_key_does_not_keep_a_node_with_a_second_one_from_starting(groq: Groq) -> None:
    first = config(groq(with_status=401))
    second = AgentConfig.model_validate({**first.model_dump(), "groq_fallback_api_key": "other"})
    assert await choose_models(second) == BOTH
