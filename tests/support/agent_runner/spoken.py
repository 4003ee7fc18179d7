"""A voice that needs no provider and a room that needs no server, both at the speed of speech."""

import asyncio
import re
from collections.abc import AsyncGenerator
from typing import Final

from pipecat.frames.frames import (
    Frame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.tts import TextToSpeech

RATE: Final = 24_000
WORD_S: Final = 0.1
QUEUE_S: Final = 0.2  # what LiveKit's queue takes before it is played
KEYS: Final = {"assembly_api_key": "k", "groq_api_key": "k", "inworld_api_key": "k"}


class Voice(TextToSpeech):
    """Makes each text, one sentence, at once: a word each WORD_S."""

    async def on_turn_context_created(self, context_id: str) -> None: ...

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        words = text.split() if text.isascii() else re.findall(r"\w\W*", text)
        await self.create_audio_context(context_id)
        yield TTSStartedFrame(context_id=context_id)
        await self.add_word_timestamps([(word, n * WORD_S) for n, word in enumerate(words)], context_id)
        audio = b"\x00\x10" * round(RATE * WORD_S) * len(words)
        yield TTSAudioRawFrame(audio, RATE, 1, context_id=context_id)
        yield TTSStoppedFrame(context_id=context_id)
        await self.remove_audio_context(context_id)


class Room(BaseOutputTransport):
    """Plays at the speed of speech, and takes audio QUEUE_S ahead of it."""

    _played_until = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = asyncio.get_running_loop().time()
        self._played_until = max(now, self._played_until) + len(frame.audio) / 2 / frame.sample_rate
        await asyncio.sleep(max(0.0, self._played_until - now - QUEUE_S))
        return True


def voice() -> Voice:
    return Voice.of(AgentConfig.model_validate(KEYS))


def room() -> Room:
    return Room(TransportParams(audio_out_enabled=True, audio_out_sample_rate=RATE, audio_out_end_silence_secs=0))
