"""Inworld's protocol, over a raw WebSocket and HTTP."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import websockets
from websockets.asyncio.client import ClientConnection

from tests.integration.sandbox.running import KEY, Sandbox, speak

CONFIG = {"audioEncoding": "PCM", "sampleRateHertz": 24_000}
CREATE = {"voiceId": "Craig", "modelId": "inworld-tts-1.5-max", "audioConfig": CONFIG, "timestampType": "WORD"}
HEADERS = {"Authorization": f"Basic {KEY}"}
VOICES = ["Ashley", "Craig", "Edward", "Olivia", "Priya", "Wendy"]


@asynccontextmanager
async def connected(sandbox: Sandbox, key: str = KEY) -> AsyncIterator[ClientConnection]:
    async with websockets.connect(sandbox.inworld_url, additional_headers={"Authorization": f"Basic {key}"}) as socket:
        yield socket


async def send(socket: ClientConnection, name: str | None, **message: Any) -> None:
    await socket.send(json.dumps({**message, **({"contextId": name} if name else {})}))


async def receive(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return json.loads(await socket.recv())["result"]


async def until(socket: ClientConnection, key: str) -> list[dict[str, Any]]:
    found = [await receive(socket)]
    while key not in found[-1]:
        found.append(await receive(socket))
    return found


def audio(results: list[dict[str, Any]]) -> bytes:
    return b"".join(base64.b64decode(r["audioChunk"]["audioContent"]) for r in results if "audioChunk" in r)


async def test_a_context_speaks_what_it_was_sent(sandbox: Sandbox) -> None:
    async with connected(sandbox) as socket:
        await send(socket, "a", create=CREATE)
        assert "contextCreated" in await receive(socket)
        await send(socket, "a", send_text={"text": "Hello there, "})
        await send(socket, "a", send_text={"text": "it is three o'clock."})
        await send(socket, "a", flush_context={})
        spoken = await until(socket, "flushCompleted")
        await send(socket, "a", close_context={})
        closed = await receive(socket)

    words = spoken[0]["audioChunk"]["timestampInfo"]["wordAlignment"]
    seconds = len(audio(spoken)) / 2 / 24_000
    assert len(spoken) > 2
    assert words["words"] == ["Hello", "there,", "it", "is", "three", "o'clock."]
    assert words["wordStartTimeSeconds"] == sorted(words["wordStartTimeSeconds"])
    assert words["wordEndTimeSeconds"][-1] == pytest.approx(seconds, abs=0.05)
    assert "contextClosed" in closed


async def test_a_generation_can_be_inaudible_and_a_text_refused(sandbox: Sandbox) -> None:
    sandbox.fault(service="inworld", kind="inaudible", count=1)
    sandbox.fault(service="inworld", kind="refused", count=1)
    async with connected(sandbox) as socket:
        await send(socket, "a", create={**CREATE, "autoMode": True})
        await receive(socket)
        await send(socket, "a", send_text={"text": "Hello there."})
        assert (await receive(socket))["status"]["code"] == 3
        await send(socket, "a", send_text={"text": "Hello there."})
        assert "flushCompleted" in await receive(socket)
        await send(socket, "a", send_text={"text": "Hello there."})
        assert audio(await until(socket, "flushCompleted"))


async def test_auto_mode_speaks_a_sentence_as_soon_as_it_is_whole(sandbox: Sandbox) -> None:
    async with connected(sandbox) as socket:
        await send(socket, "a", create={**CREATE, "autoMode": True})
        await receive(socket)
        await send(socket, "a", send_text={"text": "Hello there."})

        assert audio(await until(socket, "flushCompleted"))


async def test_text_that_waits_too_long_is_spoken(sandbox: Sandbox) -> None:
    async with connected(sandbox) as socket:
        await send(socket, "a", create={**CREATE, "maxBufferDelayMs": 100})
        await receive(socket)
        await send(socket, "a", send_text={"text": "Hello there"})

        assert audio(await until(socket, "flushCompleted"))


async def test_a_context_that_says_nothing_closes(sandbox: Sandbox) -> None:
    async with connected(sandbox) as socket:
        await send(socket, "a", create={**CREATE, "autoMode": True})
        await receive(socket)
        await send(socket, "a", send_text={"text": " ... [happy] "})
        await send(socket, "a", close_context={})

        assert audio(await until(socket, "contextClosed")) == b""


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"voiceId": "Nobody"}, 5, "Unknown voice: Nobody not found"),
        ({"modelId": "inworld-tts-1"}, 3, "Unknown model"),
        ({"modelId": "inworld-tts-1-max"}, 3, "Unknown model"),
        ({"audioConfig": {"audioEncoding": "OPUS"}}, 3, "audio encoding"),
        ({"audioConfig": {**CONFIG, "sampleRateHertz": 5}}, 3, "sample rate"),
        ({"audioConfig": {**CONFIG, "speakingRate": 3}}, 3, "speakingRate"),
        ({"temperature": 3}, 3, "temperature"),
    ],
)
async def test_a_wrong_context_is_refused(sandbox: Sandbox, change: dict[str, Any], code: int, words: str) -> None:
    async with connected(sandbox) as socket:
        await send(socket, "a", create={**CREATE, **change})
        refused = await receive(socket)

    assert refused["contextId"] == "a"
    assert refused["status"]["code"] == code
    assert words in refused["status"]["message"]


async def test_a_connection_has_five_contexts_at_most(sandbox: Sandbox) -> None:
    async with connected(sandbox) as socket:
        for name in "abcdef":
            await send(socket, name, create=CREATE)
        statuses = [(await receive(socket))["status"]["code"] for _ in "abcdef"]
        await send(socket, "a", close_context={})
        await receive(socket)
        await send(socket, "f", create=CREATE)
        again = await receive(socket)

    assert statuses == [0, 0, 0, 0, 0, 8]
    assert again["status"]["code"] == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "invalid JSON"),
        ("[]", "JSON object"),
        ('{"send_text": {"text": ""}}', "context_id is required"),
        ('{"send_text": {"text": "hi"}, "contextId": "x"}', "Context x not found"),
        ('{"sing": {}, "contextId": "x"}', "unknown message"),
    ],
)
async def test_a_malformed_message_is_refused_and_the_connection_lives(sandbox: Sandbox, text: str, words: str) -> None:
    async with connected(sandbox) as socket:
        await socket.send(text)
        refused = await receive(socket)
        await send(socket, "a", create=CREATE)
        created = await receive(socket)

    assert words in refused["status"]["message"]
    assert "contextCreated" in created


async def test_a_wrong_key_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with connected(sandbox, key="wrong"):
            pass
    listed = sandbox.request("GET", "/tts/v1/voices", headers={"Authorization": "Basic wrong"})

    assert refused.value.response.status_code == 401
    assert listed.status_code == 401
    assert listed.json()["code"] == 16


@pytest.mark.parametrize("path", ["/tts/v1/voices", "/voices/v1/voices"])
async def test_the_voices_are_listed(sandbox: Sandbox, path: str) -> None:
    listed = sandbox.request("GET", f"{path}", headers=HEADERS).json()

    assert [voice["voiceId"] for voice in listed["voices"]] == VOICES


async def test_every_voice_sounds_different(sandbox: Sandbox) -> None:
    spoken = {voice: await speak(sandbox, "Hello there.", voice) for voice in VOICES}

    assert len(set(spoken.values())) == len(VOICES)


async def test_the_speaking_rate_counts(sandbox: Sandbox) -> None:
    slow, fast = [len(await speak(sandbox, "One, two, three, four.", speakingRate=rate)) for rate in (0.8, 1.4)]

    assert slow > fast * 1.3


async def test_the_rate_of_the_samples_is_the_one_asked_for(sandbox: Sandbox) -> None:
    low, high = [len(await speak(sandbox, "Hello there.", rate=rate)) for rate in (16_000, 48_000)]

    # espeak-ng never says the same thing exactly alike.
    assert high == pytest.approx(low * 3, rel=0.02)


async def test_http_streams_lines_of_wav(sandbox: Sandbox) -> None:
    body = {"text": "Hello there.", **CREATE, "audioConfig": {"audioEncoding": "LINEAR16", "sampleRateHertz": 16_000}}
    response = sandbox.request("POST", "/tts/v1/voice:stream", json=body, headers=HEADERS)
    lines = [json.loads(line)["result"] for line in response.text.splitlines()]

    assert base64.b64decode(lines[0]["audioContent"]).startswith(b"RIFF")
    assert lines[0]["timestampInfo"]["wordAlignment"]["words"] == ["Hello", "there."]


@pytest.mark.parametrize(
    ("change", "status"), [({"voiceId": "Nobody"}, 404), ({"modelId": "inworld-tts-1"}, 400), ({"text": ""}, 400)]
)
async def test_a_wrong_http_request_is_refused(sandbox: Sandbox, change: dict[str, Any], status: int) -> None:
    body = {"text": "Hello there.", **CREATE, **change}

    assert sandbox.request("POST", "/tts/v1/voice", json=body, headers=HEADERS).status_code == status
