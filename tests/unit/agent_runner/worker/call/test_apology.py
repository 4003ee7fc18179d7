"""The audio of a call's last sentence."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.call.apology import Apology, tones


def config(**changes: Any) -> AgentConfig:
    keys = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
    return AgentConfig.model_validate({**keys, **changes})


def wav(file: Path, *, rate: int, seconds: float = 1.0, channels: int = 1) -> Path:
    samples = (np.sin(np.arange(int(rate * seconds) * channels) / 20) * 20_000).astype("<i2")
    with wave.open(str(file), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return file


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
def test_without_any_recording_there_are_tones_of_three_pitches(rate: int) -> None:
    samples = np.frombuffer(Apology(config(tts_sample_rate=rate), "Ashley", None).audio()[0], "<i2")
    third = round(0.33 * rate)
    pitches = [int(np.abs(np.fft.rfft(samples[n * third : (n + 1) * third])).argmax() * rate / third) for n in range(3)]
    assert [round(pitch, -1) for pitch in pitches] == [950, 1400, 1800]
    assert samples.tobytes() == tones(rate)


def test_a_recording_of_the_operators_is_played_at_the_rate_of_the_call(tmp_path: Path) -> None:
    file = wav(tmp_path / "sorry.wav", rate=8000, seconds=2)
    apology = Apology(config(apology_file=file, tts_sample_rate=24_000, apology="Sorry."), "Ashley", None)
    pcm, words = apology.audio()
    assert abs(len(pcm) - 2 * 2 * 24_000) < 100
    assert words == "Sorry."


@pytest.mark.parametrize(
    ("bad", "why"),
    [("stereo", "mono"), ("text", "not a readable WAV file"), ("long", "5 s"), ("none", "not a readable WAV file")],
)
def test_a_recording_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, bad: str, why: str) -> None:
    file = tmp_path / "sorry.wav"
    if bad == "text":
        file.write_text("sorry")
    elif bad != "none":
        wav(file, rate=8000, seconds=6 if bad == "long" else 1, channels=2 if bad == "stereo" else 1)
    with pytest.raises(ValidationError, match=why):
        config(apology_file=file)


def test_a_recording_that_was_removed_or_damaged_since_is_replaced_by_the_tones(tmp_path: Path) -> None:
    apology = Apology(config(apology_file=(file := wav(tmp_path / "sorry.wav", rate=8000))), "Ashley", None)
    file.write_text("sorry")
    assert apology.audio() == (tones(24_000), "")
    file.unlink()
    assert apology.audio() == (tones(24_000), "")


def test_each_voice_and_sentence_has_a_rendering_of_its_own(tmp_path: Path) -> None:
    rendered = Apology(config(), "Ashley", tmp_path)
    assert rendered._file is not None  # pyright: ignore[reportPrivateUsage]
    wav(rendered._file, rate=24_000)  # pyright: ignore[reportPrivateUsage]
    assert rendered.is_rendered
    assert not Apology(config(), "Craig", tmp_path).is_rendered
    assert not Apology(config(apology="Bye."), "Ashley", tmp_path).is_rendered
