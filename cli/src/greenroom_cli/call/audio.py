"""Speech as samples: mono, 16 bit, one rate in the whole package."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from greenroom_cli.errors import CommandError

RATE = 16_000
FRAME_SAMPLES = RATE // 50  # 20 ms
FRAME_MS = 20
# The level of decoded silence is almost zero and that of speech a few thousand.
LOUD = 200.0
_CONVERT = "convert it to a wav file of 16-bit PCM, such as with: ffmpeg -i FILE -c:a pcm_s16le question.wav"

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Speech:
    """A text and its sound at RATE."""

    text: str
    samples: Samples

    @property
    def seconds(self) -> float:
        return len(self.samples) / RATE


def is_loud(frame: Samples) -> bool:
    """Whether a frame contains speech, by its root mean square."""
    return len(frame) > 0 and float(np.sqrt(np.mean(frame.astype(np.float64) ** 2))) >= LOUD


def read_wav(path: Path) -> Samples:
    """Read a wav file of 16-bit PCM as mono at RATE.

    Raises:
        CommandError: The file cannot be read, or has another sample width.
    """
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            data = file.readframes(file.getnframes())
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", "name a wav file of 16-bit PCM") from None
    except (wave.Error, EOFError) as error:
        raise CommandError(f"cannot read {path}: {str(error) or 'it is cut off'}", _CONVERT) from None
    if width != 2:
        raise CommandError(f"{path} has {8 * width}-bit samples", _CONVERT)
    samples = np.frombuffer(data, dtype="<i2").reshape(-1, channels).mean(axis=1)
    return resample(samples.astype(np.int16), rate)


def resample(samples: Samples, rate: int) -> Samples:
    """Convert samples to RATE by linear interpolation, which is good enough for a recogniser."""
    if rate == RATE or len(samples) == 0:
        return samples
    count = round(len(samples) * RATE / rate)
    at = np.arange(count) * (rate / RATE)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
