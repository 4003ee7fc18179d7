"""Silence at the start of what a voice made is left out, and nothing that can be heard."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.onset import silence_before

RATE = 24_000
LEAD = RATE * 2 // 1000

hushed = st.lists(st.integers(-64, 64), max_size=2 * LEAD)
sounding = st.lists(st.integers(-32_768, 32_767), min_size=1, max_size=50).filter(lambda samples: abs(samples[0]) > 64)


def pcm(samples: list[int]) -> bytes:
    return array("h", samples).tobytes()


@given(hushed, sounding)
def test_only_silence_is_left_out_and_two_milliseconds_of_it_stay(before: list[int], speech: list[int]) -> None:
    audio = pcm(before + speech)
    kept = audio[silence_before(audio, RATE) :]
    assert kept == pcm(before[-LEAD:] + speech)


@given(hushed)
def test_an_utterance_that_nobody_can_hear_stays_as_it_is(samples: list[int]) -> None:
    assert silence_before(pcm(samples), RATE) == 0


def test_half_a_sample_at_the_end_does_no_harm() -> None:
    assert silence_before(pcm([0] * 200 + [999]) + b"\x01", RATE) == 2 * (200 - LEAD)
