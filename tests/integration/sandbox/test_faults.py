"""Faults, scripts and the other controls, seen from the client."""

import asyncio
import json
import time
from typing import Any

import groq
import httpx
import pytest
import websockets

from tests.integration.sandbox.running import (
    KEY,
    RATE,
    Sandbox,
    force_end,
    listening,
    next_of,
    send_audio,
    speak,
    transcribe,
)

MODEL = "openai/gpt-oss-120b"
HELLO: list[Any] = [{"role": "user", "content": "count to ten"}]
SPEECH = {"text": "Hello there.", "voiceId": "Craig", "modelId": "inworld-tts-1.5-max"}


def client(sandbox: Sandbox) -> groq.AsyncGroq:
    return groq.AsyncGroq(api_key=KEY, base_url=sandbox.http, max_retries=0, timeout=3)


async def ask(sandbox: Sandbox, model: str = MODEL, into: list[str] | None = None) -> str:
    """The streamed answer; `into` takes what came of it, also when it breaks off."""
    heard = [] if into is None else into
    async with client(sandbox) as llm:
        async for chunk in await llm.chat.completions.create(model=model, messages=HELLO, stream=True):
            heard.append(chunk.choices[0].delta.content or "")
    return "".join(heard)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, groq.AuthenticationError), (429, groq.RateLimitError), (500, groq.InternalServerError)],
)
async def test_a_status_is_answered_as_often_as_asked(sandbox: Sandbox, status: int, error: type[Exception]) -> None:
    sandbox.fault(service="groq", kind="status", status=status, count=2)
    for _ in range(2):
        with pytest.raises(error):
            await ask(sandbox)

    assert (await ask(sandbox)).startswith("One, two")


async def test_a_429_says_when_to_retry(sandbox: Sandbox) -> None:
    sandbox.fault(service="groq", kind="status", status=429, retry_after_s=7, count=1)
    with pytest.raises(groq.RateLimitError) as refused:
        await ask(sandbox)

    assert refused.value.response.headers["retry-after"] == "7"
    assert refused.value.body["error"]["code"] == "rate_limit_exceeded"  # type: ignore[index]


async def test_a_fault_may_be_for_one_model_only(sandbox: Sandbox) -> None:
    sandbox.fault(service="groq", kind="status", status=500, match={"model": MODEL})

    assert await ask(sandbox, "openai/gpt-oss-20b")
    with pytest.raises(groq.InternalServerError):
        await ask(sandbox)


async def test_a_stream_is_cut_in_mid_sentence(sandbox: Sandbox) -> None:
    sandbox.fault(service="groq", kind="drop", count=1)
    heard: list[str] = []
    with pytest.raises(httpx.RemoteProtocolError):
        await ask(sandbox, into=heard)

    assert "".join(heard) == "One,"


async def test_silence_never_answers(sandbox: Sandbox) -> None:
    sandbox.fault(service="groq", kind="silence", count=1)
    with pytest.raises((groq.APITimeoutError, httpx.ReadTimeout)):
        await ask(sandbox)


async def test_latency_delays_the_answer(sandbox: Sandbox) -> None:
    sandbox.fault(service="inworld", kind="latency", latency_ms=300, count=1)
    began = time.monotonic()
    await speak(sandbox, "Hello there.")

    assert time.monotonic() - began >= 0.3


async def test_garbage_is_no_json(sandbox: Sandbox) -> None:
    sandbox.fault(service="inworld", kind="garbage", count=1)
    response = sandbox.request("POST", "/tts/v1/voice", json=SPEECH, headers={"Authorization": f"Basic {KEY}"})

    with pytest.raises(json.JSONDecodeError):
        response.json()


async def test_a_handshake_is_refused_with_a_status(sandbox: Sandbox) -> None:
    sandbox.fault(service="assemblyai", kind="status", status=429, count=1)
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with listening(sandbox):
            pass

    assert refused.value.response.status_code == 429


async def test_a_session_expires_with_an_error(sandbox: Sandbox) -> None:
    async with listening(sandbox) as socket:
        await next_of(socket, "Begin")
        sandbox.fault(service="assemblyai", kind="error", code=3008, reason="Session Expired", count=1)
        await send_audio(socket, await speak(sandbox, "What time is it?", "Edward"))
        error = await next_of(socket, "Error")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert error == {"type": "Error", "error_code": 3008, "error": "Session Expired"}
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3008


async def test_a_session_is_closed_right_after_it_opened(sandbox: Sandbox) -> None:
    sandbox.fault(service="assemblyai", kind="close", code=1008, reason="Unauthorized", stage="request", count=1)
    async with listening(sandbox) as socket:
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Unauthorized")


async def test_a_session_may_stay_silent(sandbox: Sandbox) -> None:
    sandbox.fault(service="assemblyai", kind="silence", stage="request", count=1)
    async with listening(sandbox) as socket:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.5)


async def test_late_words_come_whole_after_the_end_that_the_client_noticed(sandbox: Sandbox) -> None:
    sandbox.fault(service="assemblyai", kind="late", latency_ms=1_500, count=1)
    pcm = await speak(sandbox, "What did you just say?", "Edward")
    async with listening(sandbox) as socket:
        forced = await force_end(socket, pcm)
        turn = await next_of(socket, "Turn")

    assert time.monotonic() - forced >= 1.5
    assert (turn["transcript"], turn["end_of_turn"]) == ("What did you just say?", True)


@pytest.mark.parametrize("code", [None, 1012])
async def test_open_connections_are_closed_at_once(sandbox: Sandbox, code: int | None) -> None:
    async with listening(sandbox) as socket:
        await next_of(socket, "Begin")
        assert sandbox.control("POST", "disconnect", {"service": "assemblyai", "code": code}) == {"closed": 1}
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert (closed.value.rcvd.code if closed.value.rcvd else None) == code


async def test_a_hole_in_the_audio_does_not_divide_the_last_scripted_transcript(sandbox: Sandbox) -> None:
    sandbox.control("POST", "transcripts", {"texts": ["Book a table, please."]})
    first, rest = await speak(sandbox, "What time", "Edward"), await speak(sandbox, "is it?", "Edward")
    later = await speak(sandbox, "Count to five.", "Edward")
    async with listening(sandbox) as socket:
        await send_audio(
            socket, first + bytes(RATE * 2 * 45 // 100) + rest + bytes(RATE * 2 * 2) + later + bytes(RATE * 2)
        )
        turns = [await next_of(socket, "Turn"), await next_of(socket, "Turn")]

    assert turns[0]["transcript"] == "Book a table, please."
    assert "count" in turns[1]["transcript"].lower()


async def test_scripted_transcripts_are_heard_instead_of_what_was_said(sandbox: Sandbox) -> None:
    sandbox.control("POST", "transcripts", {"texts": ["book a table for two", "never mind"]})
    async with listening(sandbox) as socket:
        for text in ("Book a table for two.", "Never mind."):
            await socket.send(json.dumps({"type": "ForceEndpoint"}))
            assert (await next_of(socket, "Turn"))["transcript"] == text

    assert "time" in (await transcribe(sandbox, await speak(sandbox, "What time is it?", "Edward"))).lower()


async def test_scripted_replies_are_answered_first(sandbox: Sandbox) -> None:
    call = {"tool_calls": [{"name": "transfer", "arguments": {"to": "sales"}}]}
    sandbox.control("POST", "replies", {"replies": ["All is well.", call]})

    assert await ask(sandbox) == "All is well."
    async with client(sandbox) as llm:
        found = await llm.chat.completions.create(model=MODEL, messages=HELLO)
    assert found.choices[0].message.tool_calls is not None
    assert found.choices[0].message.tool_calls[0].function.name == "transfer"
    assert (await ask(sandbox)).startswith("One, two")


async def test_the_state_shows_what_came_in_and_no_key(sandbox: Sandbox) -> None:
    await ask(sandbox)
    state = sandbox.state()

    assert state["requests"] == {"groq.chat": 1}
    assert state["last_requests"][0]["body"]["messages"] == HELLO
    assert state["open"] == {"assemblyai": 0, "groq": 0, "inworld": 0}
    assert "Bearer" not in json.dumps(state)


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("faults", {"service": "nobody", "kind": "drop"}, "service"),
        ("faults", {"service": "groq", "kind": "explode"}, "kind"),
        ("faults", {"service": "groq", "kind": "status", "stage": "answer"}, "only answer a request"),
        ("faults", {"service": "groq", "kind": "drop", "colour": "red"}, "colour"),
        ("faults", {"service": "inworld", "kind": "empty"}, "only groq's answer"),
        ("faults", {"service": "groq", "kind": "empty", "stage": "request"}, "only groq's answer"),
        ("faults", {"service": "groq", "kind": "inaudible"}, "only inworld"),
        ("transcripts", {"texts": []}, "texts"),
        ("replies", [], "body"),
        ("disconnect", {"service": "groq", "code": 5}, "code"),
    ],
)
async def test_a_wrong_control_is_named(sandbox: Sandbox, path: str, body: object, words: str) -> None:
    response = sandbox.request("POST", f"/control/{path}", json=body)

    assert response.status_code == 422
    assert words in response.json()["error"]


async def test_faults_and_scripts_have_bounds(sandbox: Sandbox) -> None:
    for _ in range(100):
        sandbox.fault(service="groq", kind="drop")
    refused = sandbox.request("POST", "/control/faults", json={"service": "groq", "kind": "drop"})
    for texts in (["a"] * 150, ["b"] * 50):
        sandbox.control("POST", "transcripts", {"texts": texts})
    full = sandbox.request("POST", "/control/transcripts", json={"texts": ["c"]})

    assert refused.status_code == 409
    assert full.status_code == 409


async def test_a_fault_can_be_taken_back(sandbox: Sandbox) -> None:
    number = sandbox.control("POST", "faults", {"service": "groq", "kind": "status"})["id"]
    sandbox.control("DELETE", f"faults/{number}")

    assert await ask(sandbox)
    assert sandbox.request("DELETE", f"/control/faults/{number}").status_code == 404
