"""AssemblyAI's protocol where it refuses, and with its own SDK."""

import asyncio
import json

import assemblyai
import pytest
import websockets
from assemblyai.streaming.v3 import (
    Encoding,
    SpeechModel,
    StreamingClient,
    StreamingClientOptions,
    StreamingEvents,
    StreamingParameters,
)

from tests.integration.sandbox.running import KEY, RATE, Sandbox, listening, next_of, send_audio, speak

SECOND_OF_SILENCE = bytes(RATE * 2)


async def test_a_wrong_key_is_refused_at_the_handshake(sandbox: Sandbox) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with listening(sandbox, key="wrong"):
            pass

    assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"sample_rate": "fast"}, "Invalid sample_rate"),
        ({"sample_rate": 100}, "Invalid sample_rate"),
        ({"encoding": "mp3"}, "Invalid encoding"),
        ({"speech_model": "whisper-9"}, "Invalid speech_model"),
        ({"keyterms_prompt": "Greenroom"}, "Invalid keyterms_prompt"),
        ({"voice_focus": "telescope"}, "Invalid voice_focus: telescope"),
        ({"voice_focus_threshold": "much"}, "Invalid voice_focus_threshold"),
    ],
)
async def test_a_wrong_parameter_ends_the_session(sandbox: Sandbox, query: dict[str, str], words: str) -> None:
    async with listening(sandbox, **query) as socket:
        error = await next_of(socket, "Error")
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()

    assert error["error_code"] == 3006
    assert words in error["error"]
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 3006


async def test_the_sample_rate_is_required(sandbox: Sandbox) -> None:
    url = f"{sandbox.assembly_url}?encoding=pcm_s16le"
    async with websockets.connect(url, additional_headers={"Authorization": KEY}) as socket:
        assert "sample_rate" in (await next_of(socket, "Error"))["error"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("not json", "Invalid JSON"), ("[]", "Invalid Message:"), ('{"type": "Sing"}', "Invalid Message Type: Sing")],
)
async def test_a_malformed_message_ends_the_session(sandbox: Sandbox, text: str, words: str) -> None:
    async with listening(sandbox) as socket:
        await next_of(socket, "Begin")
        await socket.send(text)
        error = await next_of(socket, "Error")

    assert error["error_code"] == 3006
    assert words in error["error"]


async def test_chunks_must_last_between_50_and_1000_ms(sandbox: Sandbox) -> None:
    for chunks in ([bytes(320), bytes(320)], [bytes(RATE * 2 + 2)]):
        async with listening(sandbox) as socket:
            for chunk in chunks:
                await socket.send(chunk)
            assert (await next_of(socket, "Error"))["error_code"] == 3007


async def test_the_last_chunk_may_be_short(sandbox: Sandbox) -> None:
    async with listening(sandbox) as socket:
        await socket.send(SECOND_OF_SILENCE)
        await socket.send(bytes(320))
        await socket.send(json.dumps({"type": "Terminate"}))
        ended = await next_of(socket, "Termination")

    assert ended["audio_duration_seconds"] == 1


async def test_audio_far_ahead_of_the_clock_is_refused(sandbox: Sandbox) -> None:
    async with listening(sandbox) as socket:
        for _ in range(80):
            await socket.send(SECOND_OF_SILENCE)
        error = await next_of(socket, "Error")

    assert error["error_code"] == 3007
    assert "Audio Transmission Rate Exceeded" in error["error"]


async def test_a_configuration_may_change(sandbox: Sandbox) -> None:
    async with listening(sandbox) as socket:
        await next_of(socket, "Begin")
        for change in ({"agent_context": "Hello."}, {"max_turn_silence": 900}):
            await socket.send(json.dumps({"type": "UpdateConfiguration", **change}))
        await socket.send(json.dumps({"type": "Terminate"}))
        await next_of(socket, "Termination")

    kept = [request["body"] for request in sandbox.state()["last_requests"]]
    assert {"type": "UpdateConfiguration", "agent_context": "Hello."} in kept


async def test_its_own_sdk_streams(sandbox: Sandbox) -> None:
    pcm = bytes(RATE) + await speak(sandbox, "What time is it?", "Edward") + bytes(RATE)
    heard: list[str] = []
    errors: list[object] = []

    def stream() -> None:
        client = StreamingClient(StreamingClientOptions(api_host=sandbox.ws, api_key=KEY))
        client.on(StreamingEvents.Turn, lambda _, turn: heard.append(turn.transcript) if turn.end_of_turn else None)
        client.on(StreamingEvents.Error, lambda _, error: errors.append(error))
        model = SpeechModel.universal_3_6_pro
        client.connect(StreamingParameters(sample_rate=RATE, encoding=Encoding.pcm_s16le, speech_model=model))  # pyright: ignore[reportCallIssue]
        client.stream(pcm[start : start + 3_200] for start in range(0, len(pcm) - 3_200, 3_200))
        client.disconnect(terminate=True)

    await asyncio.to_thread(stream)

    assert errors == []
    assert heard == ["What time is it?"]


async def test_its_own_sdk_reports_a_wrong_key(sandbox: Sandbox) -> None:
    errors: list[object] = []

    def connect() -> None:
        client = StreamingClient(StreamingClientOptions(api_host=sandbox.ws, api_key="wrong"))
        client.on(StreamingEvents.Error, lambda _, error: errors.append(error.code))
        client.connect(StreamingParameters(sample_rate=RATE, speech_model=SpeechModel.universal_3_6_pro))  # pyright: ignore[reportCallIssue]

    await asyncio.to_thread(connect)

    assert errors == [401]


@pytest.mark.filterwarnings("ignore:The `[a-z_]+` method is deprecated:DeprecationWarning")  # in the SDK
async def test_its_own_sdk_checks_the_account(sandbox: Sandbox) -> None:
    def listed(key: str) -> int:
        assemblyai.settings.base_url, assemblyai.settings.api_key = sandbox.http, key
        found = assemblyai.Transcriber(client=assemblyai.Client(settings=assemblyai.settings)).list_transcripts()
        return len(found.transcripts)

    assert await asyncio.to_thread(listed, KEY) == 0
    with pytest.raises(assemblyai.types.AssemblyAIError):
        await asyncio.to_thread(listed, "wrong")


async def test_no_session_is_left_open(sandbox: Sandbox) -> None:
    async with listening(sandbox) as socket:
        await send_audio(socket, b"")
        await next_of(socket, "Begin")
        assert sandbox.state()["open"]["assemblyai"] == 1
        assert sandbox.state()["recognisers"]["in_use"] == 1

    await asyncio.to_thread(sandbox.wait_until_nothing_is_open)


async def test_the_health_needs_no_key(sandbox: Sandbox) -> None:
    assert sandbox.request("GET", "/health").json() == {"status": "ok"}
