"""The noise filter before the VAD."""

import numpy as np
import pytest
from livekit import rtc
from numpy.typing import NDArray

from agent_runner.worker.room.noise_filter import NoiseFilter


def through(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    """In frames of 32 ms, as the pipeline has them."""
    noise, size, out = NoiseFilter(rate), 32 * rate // 1000, list[NDArray[np.int16]]()
    for at in range(0, len(samples) - size + 1, size):
        frame = noise.filtered(rtc.AudioFrame(samples[at : at + size].tobytes(), rate, 1, size))
        assert (frame.samples_per_channel, frame.sample_rate, frame.num_channels) == (size, rate, 1)
        out.append(np.frombuffer(frame.data, np.int16))
    return np.concatenate(out)


def loudness(samples: NDArray[np.int16]) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_steady_noise_is_taken_out_and_a_voice_is_not(rate: int) -> None:
    at = np.arange(4 * rate) / rate
    noise = np.random.default_rng(1).normal(0, 500, len(at))
    syllables = (np.sin(2 * np.pi * 3 * at) > 0) * (at > 2)
    voice = syllables * sum(5_000 / n * np.sin(2 * np.pi * 150 * n * at) for n in range(1, 8))
    heard = through((noise + voice).astype(np.int16), rate)
    assert loudness(heard[rate : 2 * rate]) < loudness(noise[rate : 2 * rate].astype(np.int16)) / 2.5
    assert loudness(heard[2 * rate :]) > 0.6 * loudness(voice[2 * rate :].astype(np.int16))
