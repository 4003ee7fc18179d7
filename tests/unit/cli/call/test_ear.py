"""What the caller hears is divided into utterances by silence."""

import wave
from pathlib import Path

import numpy as np
import pytest

from greenroom_cli.call.audio import FRAME_SAMPLES, RATE, Samples
from greenroom_cli.call.ear import QUIET_S, Ear

SPEECH = np.full(FRAME_SAMPLES, 3000, dtype=np.int16)
SILENCE = np.zeros(FRAME_SAMPLES, dtype=np.int16)
FRAME_S = 0.02


class Played:
    """An ear and the clock of what is played to it."""

    def __init__(self, recording: Path) -> None:
        self.fed: list[Samples] = []
        self.ear = Ear(recording, self.fed.append)
        self.now = 100.0

    def play(self, frame: Samples, seconds: float) -> None:
        for _ in range(round(seconds / FRAME_S)):
            self.ear.hear(frame, self.now)
            self.now += FRAME_S


@pytest.fixture
async def played(tmp_path: Path) -> Played:
    return Played(tmp_path / "heard.wav")


async def test_an_utterance_is_over_after_a_silence(played: Played) -> None:
    played.play(SILENCE, 1.0)
    played.play(SPEECH, 0.5)
    played.play(SILENCE, QUIET_S + 0.1)

    utterance = played.ear.utterances.get_nowait()

    assert (utterance.start_ms, utterance.end_ms) == (1000, 1500)
    assert utterance.began_at == pytest.approx(101.0)
    assert utterance.ended_at == pytest.approx(101.5, abs=1.5 * FRAME_S)


async def test_a_pause_between_sentences_does_not_end_it(played: Played) -> None:
    played.play(SPEECH, 0.5)
    played.play(SILENCE, QUIET_S - 0.1)
    played.play(SPEECH, 0.5)
    assert played.ear.utterances.empty()

    played.play(SILENCE, QUIET_S + 0.1)

    assert played.ear.utterances.get_nowait().end_ms == pytest.approx(1000 + 1000 * (QUIET_S - 0.1))
    assert played.ear.utterances.empty()


async def test_the_first_sound_is_remembered(played: Played) -> None:
    played.play(SILENCE, 0.2)
    assert played.ear.first_sound_at is None
    played.play(SPEECH, 0.2)
    played.play(SILENCE, 3)
    played.play(SPEECH, 0.2)

    assert played.ear.first_sound_at == pytest.approx(100.2)
    assert played.ear.sounded.is_set()


async def test_everything_heard_is_recorded_and_fed_on(played: Played, tmp_path: Path) -> None:
    played.play(SILENCE, 0.2)
    played.play(SPEECH, 0.3)
    await played.ear.close()

    with wave.open(str(tmp_path / "heard.wav")) as file:
        assert (file.getframerate(), file.getnframes()) == (RATE, RATE // 2)
    assert sum(len(frame) for frame in played.fed) == RATE // 2
