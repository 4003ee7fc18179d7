"""Groq's API with its own SDK, only the base URL changed."""

import json
from collections.abc import AsyncIterator
from typing import Any

import groq
import pytest

from tests.integration.sandbox.running import KEY, Sandbox

MODEL = "openai/gpt-oss-120b"
PROMPT: Any = {"role": "system", "content": "You are Max, a friendly voice assistant."}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[groq.AsyncGroq]:
    async with groq.AsyncGroq(api_key=KEY, base_url=sandbox.http, max_retries=0, timeout=10) as client:
        yield client


def said(text: str) -> Any:
    return {"role": "user", "content": text}


async def ask(client: groq.AsyncGroq, *messages: Any) -> str:
    """The streamed answer, put together."""
    stream = await client.chat.completions.create(
        model=MODEL, messages=[PROMPT, *messages], stream=True, max_tokens=200, temperature=0.7
    )
    chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].x_groq is not None
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def test_a_conversation(client: groq.AsyncGroq) -> None:
    asked = said("What time is it?")
    told = await ask(client, asked)
    again = await ask(client, asked, {"role": "assistant", "content": told}, said("what did you just say"))

    assert told == "It is a quarter past three."
    assert again == "I said: It is a quarter past three."
    assert await ask(client, said("what is your name")) == "My name is Max."


async def test_an_answer_may_come_whole(client: groq.AsyncGroq) -> None:
    found = await client.chat.completions.create(model=MODEL, messages=[said("count to three")])

    assert found.choices[0].message.content == "One, two, three."
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens


async def test_max_tokens_cuts_the_answer(client: groq.AsyncGroq) -> None:
    found = await client.chat.completions.create(model=MODEL, messages=[said("count to ten")], max_tokens=2)

    assert found.choices[0].message.content == "One, two,"
    assert found.choices[0].finish_reason == "length"


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_empty_answer_is_well_formed_and_has_nothing_in_it(
    sandbox: Sandbox, client: groq.AsyncGroq, streamed: bool
) -> None:
    sandbox.control("POST", "replies", {"replies": ["All is well."]})
    sandbox.fault(service="groq", kind="empty", count=1)
    await client.models.list()  # which has no answer of a model

    if streamed:
        assert await ask(client, said("count to three")) == ""
    else:
        found = await client.chat.completions.create(model=MODEL, messages=[said("count to three")])
        assert (found.choices[0].message.content, found.choices[0].message.tool_calls) == (None, None)
        assert found.choices[0].finish_reason == "stop"
    assert await ask(client, said("count to three")) == "All is well."


async def test_usage_is_streamed_when_asked_for(sandbox: Sandbox) -> None:
    body = {"model": MODEL, "messages": [said("hello")], "stream": True, "stream_options": {"include_usage": True}}
    response = sandbox.request("POST", "/openai/v1/chat/completions", json=body, headers=bearer())
    events = response.text.split("\n\n")

    assert events[-2:] == ["data: [DONE]", ""]
    last = json.loads(events[-3].removeprefix("data: "))
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0


async def test_a_tool_is_called_when_its_topic_comes_up(client: groq.AsyncGroq) -> None:
    asked = said("what is the weather in rome")
    found = await client.chat.completions.create(model=MODEL, messages=[asked], tools=[WEATHER])

    calls = found.choices[0].message.tool_calls
    assert found.choices[0].finish_reason == "tool_calls"
    assert calls is not None
    assert calls[0].function.name == "get_weather"
    assert "rome" in json.loads(calls[0].function.arguments)["city"]

    result: Any = {"role": "tool", "tool_call_id": calls[0].id, "content": "sunny"}
    assistant: Any = found.choices[0].message.model_dump(exclude_none=True)
    answered = await client.chat.completions.create(model=MODEL, messages=[asked, assistant, result])
    assert answered.choices[0].message.content == "Here is what I found: sunny."


async def test_a_retired_model_does_not_exist(client: groq.AsyncGroq) -> None:
    with pytest.raises(groq.NotFoundError) as refused:
        await client.chat.completions.create(model="llama-3.3-70b-versatile", messages=[said("hello")])
    with pytest.raises(groq.NotFoundError):
        await client.models.retrieve("llama-3.3-70b-versatile")

    assert refused.value.body["error"]["code"] == "model_not_found"  # type: ignore[index]
    listed = await client.models.list()
    assert MODEL in [model.id for model in listed.data]
    assert (await client.models.retrieve(MODEL)).id == MODEL


async def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    async with groq.AsyncGroq(api_key="wrong", base_url=sandbox.http, max_retries=0) as client:
        with pytest.raises(groq.AuthenticationError) as refused:
            await client.models.list()

    assert refused.value.body["error"]["code"] == "invalid_api_key"  # type: ignore[index]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not json", "invalid JSON"),
        (b"[]", "JSON object"),
        (b'{"messages": [{"role": "user", "content": "hi"}]}', "'model'"),
        (b'{"model": "openai/gpt-oss-120b", "messages": []}', "messages"),
        (b'{"model": "openai/gpt-oss-120b", "messages": [{"role": "pope", "content": "hi"}]}', "role"),
        (b'{"model": "openai/gpt-oss-120b", "messages": [{"role": "user"}], "temperature": 9}', "temperature"),
        (b'{"model": "openai/gpt-oss-120b", "messages": [{"role": "user"}], "mood": 1}', "property 'mood'"),
    ],
)
async def test_a_malformed_body_is_refused(sandbox: Sandbox, content: bytes, words: str) -> None:
    response = sandbox.request("POST", "/openai/v1/chat/completions", content=content, headers=bearer())

    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert words in response.json()["error"]["message"]


async def test_a_body_has_a_bound(sandbox: Sandbox) -> None:
    response = sandbox.request("POST", "/openai/v1/chat/completions", content=b"x" * (2 << 20), headers=bearer())

    assert response.status_code == 413


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}
