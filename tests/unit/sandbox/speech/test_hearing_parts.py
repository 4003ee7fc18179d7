"""The parts of the ear: activity, sample rates, frames between the processes."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.speech import pcm, protocol
from sandbox.speech.activity import Activity, Change, Steadiness
from sandbox.speech.decoder import FixedDecoder
from sandbox.speech.protocol import Configuration, Heard, Kind, Word


def changes(pattern: str, silence_ms: int = 120) -> list[Change]:
    """The changes over frames: `#` voiced, `.` not."""
    activity = Activity(Steadiness(silence_ms=silence_ms))
    return [change for mark in pattern if (change := activity.frame(mark == "#")) is not Change.NONE]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("..#..#....#.", []),
        ("..####", [Change.STARTED]),
        ("..#.###", [Change.STARTED]),
        ("####...####...", [Change.STARTED]),
        ("####....", [Change.STARTED, Change.ENDED]),
        ("####....####....", [Change.STARTED, Change.ENDED] * 2),
    ],
)
def test_speech_starts_and_ends_steadily(pattern: str, expected: list[Change]) -> None:
    assert changes(pattern) == expected


def test_speech_that_was_stopped_must_start_anew() -> None:
    activity = Activity(Steadiness())
    for _ in range(4):
        activity.frame(True)
    activity.stop()

    assert activity.frame(True) is Change.NONE


def tone(rate: int, hertz: float = 440, seconds: float = 1) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    return (8_000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


def frequency(samples: np.ndarray[tuple[int], np.dtype[np.int16]], rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_at_another_rate(rate: int) -> None:
    whole = np.frombuffer(pcm.resampled(tone(22_050).tobytes(), 22_050, rate), np.int16)

    assert len(whole) == rate
    assert frequency(whole, rate) == pytest.approx(440, abs=2)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100, 48_000])
@pytest.mark.parametrize("block", [160, 441, 800])
def test_a_stream_is_converted_without_seams(rate: int, block: int) -> None:
    converter, source = pcm.Resampler(rate, 16_000), tone(rate)
    found = np.concatenate([converter.convert(source[at : at + block]) for at in range(0, len(source), block)])
    at_once = pcm.Resampler(rate, 16_000).convert(source)

    assert abs(len(found) - 16_000) < 100
    assert frequency(found, 16_000) == pytest.approx(440, abs=2)
    assert np.abs(found[: len(at_once)].astype(int) - at_once[: len(found)].astype(int)).max() <= 1


def test_what_the_lower_rate_cannot_carry_is_kept_out() -> None:
    converter = pcm.Resampler(48_000, 16_000)

    assert np.abs(converter.convert(tone(48_000, 12_000))[200:]).max() < 300


def test_mulaw_is_decoded() -> None:
    assert list(pcm.from_mulaw(bytes([0xFF, 0x7F, 0x00, 0x80]))) == [0, 0, -32_124, 32_124]


def test_a_wav_header_says_what_follows() -> None:
    file = pcm.wav(b"\1\2" * 10, 24_000)

    assert (file[:4], file[8:16], len(file)) == (b"RIFF", b"WAVEfmt ", 44 + 20)
    assert int.from_bytes(file[24:28], "little") == 24_000
    assert int.from_bytes(file[40:44], "little") == 20


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=50)), max_size=5))
def test_frames_arrive_as_they_were_sent(sent: list[tuple[Kind, bytes]]) -> None:
    stream = io.BytesIO(b"".join(protocol.frame(kind, payload) for kind, payload in sent))

    assert [protocol.read_frame(stream) for _ in sent] == sent
    assert protocol.read_frame(stream) is None


def test_half_a_frame_is_the_end() -> None:
    whole = protocol.configure(Configuration(16_000, "pcm_s16le", 400))

    assert protocol.read_frame(io.BytesIO(whole[:-1])) is None


def test_an_event_survives_its_line() -> None:
    heard = Heard("final", 1_200, (Word("hello", 100, 400, 0.9),))

    assert Heard.of(heard.line()) == heard


def test_a_fixed_decoder_takes_every_utterance_for_its_words() -> None:
    decoder = FixedDecoder("what time")
    decoder.begin()
    assert decoder.partial() == []

    decoder.feed(bytes(2 * protocol.RATE_HZ * 3 // 10))
    assert [word.text for word in decoder.partial()] == ["what"]
    assert [word.text for word in decoder.end()] == ["what", "time"]

    decoder.begin()
    assert decoder.partial() == []
