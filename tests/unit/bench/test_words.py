"""Which words of an answer a recording holds."""

import numpy as np
import pytest

from tests.bench.rig.talker import RATE, Samples
from tests.bench.rig.words import Spoken, lost

WORD = RATE // 4


def answer(*words: str) -> Spoken:
    """Each word a noise of its own, a quarter of a second long, with a short silence after it."""
    sounds = [np.random.default_rng(seed).integers(-8000, 8000, WORD).astype(np.int16) for seed in range(len(words))]
    gap = np.zeros(RATE // 20, np.int16)
    step = (WORD + len(gap)) / RATE
    times = [(word, n * step, n * step + WORD / RATE) for n, word in enumerate(words)]
    return Spoken(np.concatenate([part for sound in sounds for part in (sound, gap)]), times)


def through_a_codec(samples: Samples) -> Samples:
    return (samples * 0.7 + np.random.default_rng(99).normal(0, 800, len(samples))).astype(np.int16)


SAID = answer("the", "old", "harbour", "wakes")
SILENCE = np.zeros(2 * RATE, np.int16)
BEFORE_WAKES = 3 * (WORD + RATE // 20)


@pytest.mark.parametrize("pause_at", [0, BEFORE_WAKES, WORD // 2])
def test_an_answer_that_paused_and_went_on_has_lost_nothing(pause_at: int) -> None:
    spoken = SAID.samples
    recording = np.concatenate([SILENCE, spoken[:pause_at], SILENCE, spoken[pause_at:], SILENCE])

    assert lost([SAID], recording) == []


def test_what_a_codec_changes_is_found() -> None:
    assert lost([SAID], through_a_codec(SAID.samples)) == []


def test_a_word_that_is_cut_out_is_lost_and_the_next_is_found() -> None:
    begin, end = (int(s * RATE) for s in SAID.words[1][1:])
    recording = np.concatenate([SAID.samples[:begin], SAID.samples[end:]])

    assert lost([SAID], recording) == ["old"]


def test_all_that_was_never_said_is_lost() -> None:
    assert lost([SAID], SAID.samples[:BEFORE_WAKES]) == ["wakes"]
    assert lost([SAID], SILENCE) == ["the", "old", "harbour", "wakes"]
