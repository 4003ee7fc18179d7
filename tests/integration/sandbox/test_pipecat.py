"""Pipecat's own clients, unmodified, against the sandbox: only URLs and keys differ from production."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.assemblyai.stt import AssemblyAISTTService
from pipecat.services.groq.llm import GroqLLMService
from pipecat.services.inworld.tts import InworldTTSService
from pipecat.tests.utils import SleepFrame, run_test

from tests.integration.sandbox.running import KEY, RATE, Sandbox, speak

PARAMS = PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=24_000)
FRAME_BYTES = RATE // 50 * 2


async def through(service: Any, frames: Sequence[Frame]) -> list[Frame]:
    """What comes out of `service` either way; an error fails the test."""
    down, up = await run_test(service, frames_to_send=frames, pipeline_params=PARAMS, start_timeout=10)
    found = [*down, *up]
    assert [frame for frame in found if isinstance(frame, ErrorFrame)] == []
    return found


def spoken_frames(pcm: bytes) -> list[Frame]:
    """20 ms frames at the pace at which a microphone gives them, with silence around."""
    padded = bytes(RATE) + pcm + bytes(RATE // 5 * 2)
    frames: list[Frame] = [VADUserStartedSpeakingFrame()]
    for start in range(0, len(padded), FRAME_BYTES):
        chunk = padded[start : start + FRAME_BYTES].ljust(FRAME_BYTES, b"\0")
        frames += [InputAudioRawFrame(audio=chunk, sample_rate=RATE, num_channels=1), SleepFrame(0.01)]
    return [*frames, VADUserStoppedSpeakingFrame(), SleepFrame(1.0)]


@pytest.mark.parametrize(
    ("said", "voice", "keyword"),
    [
        ("What time is it?", "Edward", "time"),
        ("What did you just say?", "Olivia", "say"),
        ("Count to five.", "Edward", "count"),
    ],
)
async def test_its_recogniser_hears(sandbox: Sandbox, said: str, voice: str, keyword: str) -> None:
    stt = AssemblyAISTTService(
        api_key=KEY,
        api_endpoint_base_url=sandbox.assembly_url,
        settings=AssemblyAISTTService.Settings(model="universal-3-6-pro", format_turns=True),
    )
    found = await through(stt, spoken_frames(await speak(sandbox, said, voice)))

    finals = [frame for frame in found if isinstance(frame, TranscriptionFrame)]
    assert len(finals) == 1
    assert finals[0].finalized
    assert keyword in finals[0].text.lower()
    assert sandbox.state()["open"]["assemblyai"] == 0


async def test_its_model_answers(sandbox: Sandbox) -> None:
    llm = GroqLLMService(
        api_key=KEY,
        base_url=f"{sandbox.http}/openai/v1",
        settings=GroqLLMService.Settings(
            model="openai/gpt-oss-120b",
            system_instruction="You are Max, a voice assistant.",
            max_tokens=200,
            temperature=0.7,
            top_p=0.9,
            presence_penalty=0.1,
            frequency_penalty=0.1,
        ),
    )
    context = LLMContext([{"role": "user", "content": "what is your name"}])
    found = await through(llm, [LLMContextFrame(context), SleepFrame(1.0)])

    assert "".join(frame.text for frame in found if isinstance(frame, LLMTextFrame)) == "My name is Max."


async def test_its_voice_speaks(sandbox: Sandbox) -> None:
    tts = InworldTTSService(
        api_key=KEY,
        url=sandbox.inworld_url,
        settings=InworldTTSService.Settings(
            voice="Craig", model="inworld-tts-1.5-max", speaking_rate=1.2, temperature=1.1
        ),
    )
    found = await through(tts, [TTSSpeakFrame("It is a quarter past three."), SleepFrame(3.0)])

    audio = b"".join(frame.audio for frame in found if isinstance(frame, TTSAudioRawFrame))
    words = [frame.text for frame in found if isinstance(frame, TTSTextFrame)]
    assert 1.0 < len(audio) / 2 / 24_000 < 4.0
    assert " ".join(words) == "It is a quarter past three."


async def test_its_clients_leave_nothing_open(sandbox: Sandbox) -> None:
    tts = InworldTTSService(api_key=KEY, url=sandbox.inworld_url)
    await through(tts, [SleepFrame(0.1)])

    await asyncio.to_thread(sandbox.wait_until_nothing_is_open)
