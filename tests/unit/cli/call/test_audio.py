"""Wav files and sample rates."""

import wave
from pathlib import Path

import numpy as np
import pytest

from greenroom_cli.call.audio import RATE, is_loud, read_wav, resample
from greenroom_cli.errors import CommandError


def write(path: Path, *, rate: int, channels: int = 1, width: int = 2, seconds: float = 1.0) -> Path:
    tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        data = np.repeat(tone, channels)
        file.writeframes(data.tobytes() if width == 2 else (data // 256 + 128).astype(np.uint8).tobytes())
    return path


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2), (8_000, 1)])
def test_a_wav_file_becomes_mono_at_our_rate(tmp_path: Path, rate: int, channels: int) -> None:
    samples = read_wav(write(tmp_path / "a.wav", rate=rate, channels=channels))

    assert len(samples) == pytest.approx(RATE, abs=1)
    spectrum = np.abs(np.fft.rfft(samples.astype(float)))
    assert np.argmax(spectrum) * RATE / len(samples) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a wav file at all"])
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)

    with pytest.raises(CommandError, match="cannot read") as refusal:
        read_wav(path)

    assert "16-bit PCM" in refusal.value.fix
    assert "ffmpeg" in refusal.value.fix
    assert not refusal.value.problem.endswith(": ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"absent\.wav: No such file or directory;"):
        read_wav(tmp_path / "absent.wav")


def test_eight_bit_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="8-bit"):
        read_wav(write(tmp_path / "a.wav", rate=16_000, width=1))


def test_resampling_nothing_gives_nothing() -> None:
    assert len(resample(np.zeros(0, dtype=np.int16), 8_000)) == 0


def test_speech_is_loud_and_silence_is_not() -> None:
    assert is_loud(np.full(320, 3000, dtype=np.int16))
    assert not is_loud(np.full(320, 20, dtype=np.int16))
    assert not is_loud(np.zeros(0, dtype=np.int16))
