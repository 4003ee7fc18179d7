"""Sample rates and encodings of audio, as signed 16-bit mono samples."""

import struct

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
_FULL_SCALE = 32767
_MULAW_BIAS = 132
_LINEAR = 1


def resampled(pcm: bytes, source_hz: int, target_hz: int) -> bytes:
    """Convert a whole utterance to another sample rate, band-limited, in the frequency domain."""
    if source_hz == target_hz or not pcm:
        return pcm
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    length = round(len(samples) * target_hz / source_hz)
    spectrum = np.fft.rfft(samples)
    wanted = length // 2 + 1
    fitted = spectrum[:wanted] if wanted <= len(spectrum) else np.pad(spectrum, (0, wanted - len(spectrum)))
    wave = np.fft.irfft(fitted, length) * (length / len(samples))
    return np.clip(np.rint(wave), -_FULL_SCALE - 1, _FULL_SCALE).astype(np.int16).tobytes()


class Resampler:
    """Converts a stream of samples block by block to another rate, without a seam between blocks.

    A windowed-sinc low-pass (63 taps) removes frequencies that the lower rate cannot represent; linear interpolation
    then reads the result at the new times. Good enough for speech, whose energy is far below half the rate.
    """

    _TAPS = 63

    def __init__(self, source_hz: int, target_hz: int) -> None:
        self._step = source_hz / target_hz
        cut = min(1.0, target_hz / source_hz) * 0.9
        at = np.arange(self._TAPS) - self._TAPS // 2
        taps = np.sinc(at * cut) * np.hamming(self._TAPS)
        self._taps = taps / taps.sum()
        self._tail = np.zeros(self._TAPS - 1)
        self._left = np.zeros(0)
        self._next = 0.0

    def convert(self, samples: Samples) -> Samples:
        """The next samples at the target rate; the last ones may come with the next block."""
        if self._step == 1.0 or len(samples) == 0:
            return samples
        block = np.concatenate([self._tail, samples.astype(np.float64)])
        self._tail = block[-(self._TAPS - 1) :]
        wave = np.concatenate([self._left, np.convolve(block, self._taps, "valid")])
        at = np.arange(self._next, len(wave) - 1, self._step)
        if len(at) == 0:
            self._left = wave
            return np.zeros(0, np.int16)
        found = np.interp(at, np.arange(len(wave)), wave)
        following = at[-1] + self._step
        kept = min(int(following), len(wave))
        self._left, self._next = wave[kept:], following - kept
        return np.clip(np.rint(found), -_FULL_SCALE - 1, _FULL_SCALE).astype(np.int16)


def _mulaw_table() -> Samples:
    """G.711: the sample of each of the 256 code words."""
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + _MULAW_BIAS) << ((code & 0x70) >> 4)
    return np.where(code & 0x80, _MULAW_BIAS - size, size - _MULAW_BIAS).astype(np.int16)


_MULAW = _mulaw_table()


def from_mulaw(data: bytes) -> Samples:
    return _MULAW[np.frombuffer(data, np.uint8)]


def wav(pcm: bytes, sample_rate: int) -> bytes:
    """`pcm` (16-bit mono) after a RIFF header of 44 bytes."""
    data, rate, bytes_a_second = len(pcm), sample_rate, sample_rate * 2
    riff = struct.pack("<4sI4s", b"RIFF", 36 + data, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, _LINEAR, 1, rate, bytes_a_second, 2, 16)
    return riff + form + struct.pack("<4sI", b"data", data) + pcm
