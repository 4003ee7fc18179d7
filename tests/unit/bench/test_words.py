"""Which words of an answer a recording holds."""

import numpy as np
import pytest

from tests.bench.rig.talker import RATE, Samples
from tests.bench.rig.words import Spoken, lost

WORD = RATE // 4


def answer(*words: str) -> Spoken:
    """Each word its own noise, a quarter of a second long, with a short silence after it."""
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


@pytest.mark.parametrize("word", range(4))
@pytest.mark.parametrize("share", [0.2, 0.35, 0.5, 0.65, 0.8])
@pytest.mark.parametrize("made_up_s", [0.0, 0.06, 0.14])
def test_a_word_heard_in_two_parts_is_found_once_and_is_not_lost(word: int, share: float, made_up_s: float) -> None:
    """Between the parts the caller's jitter buffer goes on by itself, quieter and quieter."""
    cut = int(SAID.words[word][1] * RATE) + int(share * WORD)
    before, after = SAID.samples[:cut], SAID.samples[cut:]
    made_up = (before[-int(made_up_s * RATE) or len(before) :] * 0.5).astype(np.int16)
    recording = through_a_codec(np.concatenate([SILENCE, before, made_up, SILENCE, after, SILENCE]))

    assert lost([SAID], np.where(np.abs(recording) > 2500, recording, 0).astype(np.int16)) == []


@pytest.mark.parametrize("word", range(4))
def test_a_word_that_the_jitter_buffer_stretched_is_not_lost(word: int) -> None:
    """It does so at the beginning of an answer on a slow machine: 10 ms more in each 40 ms."""
    begin = int(SAID.words[word][1] * RATE)
    pieces = np.array_split(SAID.samples[begin : begin + WORD], 6)
    stretched = np.concatenate([part for piece in pieces for part in (piece, piece[-RATE // 100 :] // 2)])

    heard = np.concatenate([SAID.samples[:begin], stretched, SAID.samples[begin + WORD :]])
    assert lost([SAID], through_a_codec(heard)) == []


@pytest.mark.parametrize("halves", [(0,), (1,), (0, 0), (1, 1), (1, 0)])
def test_a_word_of_which_a_half_is_missing_is_lost_and_the_next_is_found(halves: tuple[int, ...]) -> None:
    begin, end = (int(s * RATE) for s in SAID.words[2][1:])
    parts = np.split(SAID.samples[begin:end], 2)
    heard = [SAID.samples[:begin], *(part for half in halves for part in (parts[half], SILENCE)), SAID.samples[end:]]

    assert lost([SAID], np.concatenate(heard)) == ["harbour"]


def test_a_word_that_is_said_twice_and_heard_once_is_lost_once() -> None:
    twice = Spoken(
        np.concatenate([SAID.samples, SAID.samples]),
        [*SAID.words, *((word, begin + 1.2, end + 1.2) for word, begin, end in SAID.words)],
    )
    again = len(SAID.samples)
    cut = int(SAID.words[1][1] * RATE)
    whole = np.concatenate([twice.samples[:cut], SILENCE, twice.samples[cut:]])
    without = np.concatenate([twice.samples[: again + cut], twice.samples[again + cut + WORD :]])

    assert again == int(1.2 * RATE)
    assert lost([twice], whole) == []
    assert lost([twice], without) == ["old"]


def test_what_a_codec_changes_is_found() -> None:
    assert lost([SAID], through_a_codec(SAID.samples)) == []


def test_a_word_that_is_cut_out_is_lost_and_the_next_is_found() -> None:
    begin, end = (int(s * RATE) for s in SAID.words[1][1:])
    recording = np.concatenate([SAID.samples[:begin], SAID.samples[end:]])

    assert lost([SAID], recording) == ["old"]


def test_all_that_was_never_said_is_lost() -> None:
    assert lost([SAID], SAID.samples[:BEFORE_WAKES]) == ["wakes"]
    assert lost([SAID], SILENCE) == ["the", "old", "harbour", "wakes"]
