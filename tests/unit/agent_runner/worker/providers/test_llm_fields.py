"""Which fields a server that is not Groq gets in a request for an answer."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pipecat.frames.frames import Frame, LLMTextFrame
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.llm import LanguageModel
from contracts.tools import RecordedTool
from tests.support.strict_llm import FIELDS, StrictServer, strict_server
from tests.support.toolbox import toolbox

KEYS = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
TOOL = RecordedTool(name="look", description="Looks.", url="https://host/", parameters={"type": "object"})


@pytest.fixture(name="server")
async def _server() -> AsyncGenerator[StrictServer]:
    async with strict_server() as server:
        yield server


async def answered(url: str, *tools: RecordedTool, **settings: Any) -> str:
    said: list[str] = []

    async def push(frame: Frame, _direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        if isinstance(frame, LLMTextFrame):
            said.append(frame.text)

    at = {"llm_base_url": url, "llm_models": "any"}
    service = LanguageModel.of(AgentConfig.model_validate({**KEYS, **at, **settings}))
    service.on_fault = lambda _ago_s: None
    service.push_frame = push  # type: ignore[method-assign]
    context = LLMContext([{"role": "user", "content": "How are you?"}])
    if tools:
        context.set_tools(toolbox(tools, []).offer(service))
    await service._process_context(context)
    return "".join(said)


@pytest.mark.parametrize(
    ("settings", "more", "left_out"),
    [
        ({}, (), ()),
        ({"llm_presence_penalty": 0, "llm_frequency_penalty": 0.0}, (), ()),
        ({"llm_presence_penalty": 0.5, "llm_frequency_penalty": 0}, ("presence_penalty",), ()),
        ({"llm_temperature": 1, "llm_top_p": 1}, (), ("temperature", "top_p")),
        ({"llm_temperature": 0}, (), ()),
        ({"llm_reasoning_effort": "low"}, ("reasoning_effort",), ()),
    ],
    ids=str,
)
async def test_a_strict_server_gets_the_documented_fields_alone(
    server: StrictServer, settings: dict[str, Any], more: tuple[str, ...], left_out: tuple[str, ...]
) -> None:
    server.fields = FIELDS | set(more)
    assert await answered(server.url, **settings) == "I am fine."
    assert [set(body) for body in server.asked] == [(FIELDS | set(more)) - set(left_out)]
    assert {message["role"] for message in server.asked[0]["messages"]} == {"user"}


async def test_a_strict_server_gets_a_sessions_tools(server: StrictServer) -> None:
    server.fields = FIELDS | {"tools"}
    assert await answered(server.url, TOOL) == "I am fine."
    assert set(server.asked[0]) == FIELDS | {"tools"}


@pytest.mark.parametrize(
    ("url", "asks"),
    [
        ("https://api.groq.com/openai/v1", True),
        ("https://api.openai.com/v1", True),
        ("https://mine.openai.azure.com/openai/v1", True),
        ("https://openai.com.example.org/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
async def test_groq_and_openai_are_asked_for_the_counts_of_tokens(url: str, asks: bool) -> None:
    config = AgentConfig.model_validate({**KEYS, "llm_base_url": url, "llm_models": "any"})
    params = LanguageModel.of(config).build_chat_completion_params({"messages": []})
    assert ("stream_options" in params) == asks
