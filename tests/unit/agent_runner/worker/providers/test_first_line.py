"""The first line of a call: recorded while the provider speaks it, then played from the cache."""

import asyncio
from pathlib import Path

import pytest
from pipecat.frames.frames import TTSAudioRawFrame, TTSStoppedFrame
from pipecat.utils.context.word_timestamp_tracker import WordTimestamp

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.first_line import FirstLine
from agent_runner.worker.providers.kept_speech import KeptSpeech

RATE = 24_000
CONFIG = AgentConfig.model_validate({"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"})
SPOKEN = (WordTimestamp("Hello", 0.0, "c1"), TTSAudioRawFrame(b"\1\0" * 100, RATE, 1), TTSStoppedFrame())


def entry(folder: Path) -> KeptSpeech:
    return KeptSpeech(CONFIG, "Ashley", "Hello", folder)


async def record(folder: Path, *, text: str = "Hello", is_interrupted: bool = False) -> None:
    first = FirstLine(entry(folder))
    first.begin(text, "c1")
    for item in SPOKEN[:-1]:
        first.record("c1", item)
    if is_interrupted:
        first.interrupted("c1")
    first.record("c1", SPOKEN[-1])
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_a_recorded_line_is_played_in_its_utterance_alone(tmp_path: Path) -> None:
    await record(tmp_path)
    first = FirstLine(entry(tmp_path))
    assert first.is_cached
    assert first.is_expected
    first.begin("Hello", "c7")
    assert not first.is_expected
    assert first.is_played_in("c7")
    assert not first.is_played_in("c8")
    word, audio, _stopped = first.items(RATE)
    assert isinstance(word, WordTimestamp)
    assert isinstance(audio, TTSAudioRawFrame)
    assert (word.word, word.context_id, audio.audio) == ("Hello", "c7", SPOKEN[1].audio)


async def test_another_first_utterance_is_not_played_from_the_cache(tmp_path: Path) -> None:
    await record(tmp_path)
    first = FirstLine(entry(tmp_path))
    first.begin("Goodbye", "c1")
    assert not first.is_cached
    assert not first.is_played_in("c1")


@pytest.mark.parametrize(("text", "is_interrupted"), [("Goodbye", False), ("Hello", True)])
async def test_neither_another_line_nor_an_interrupted_one_is_stored(
    tmp_path: Path, text: str, is_interrupted: bool
) -> None:
    await record(tmp_path, text=text, is_interrupted=is_interrupted)
    assert not FirstLine(entry(tmp_path)).is_cached
