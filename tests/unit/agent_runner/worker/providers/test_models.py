"""The worker's VAD hears what Pipecat's hears, though it keeps quiet windows from the model."""

# pyright: standard

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import soxr
from pipecat.audio.turn.base_turn_analyzer import EndOfTurnState
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams, VADState

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers import models
from agent_runner.worker.providers.models import Vad
from sandbox.speech.espeak import Espeak, Voice
from tests.support.waiting import until

RATE = 16_000
WINDOW = 512  # samples
KEYS = {"assembly_api_key": "k", "groq_api_key": "k", "inworld_api_key": "k"}
SAID = ("hello there", "what is the time", "no", "i would like to book a table please")


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


def said(text: str, voice: str = "en-us") -> np.ndarray:
    speech = Espeak().speak(text, Voice(voice))
    samples = np.frombuffer(speech.pcm, dtype=np.int16)
    at = np.arange(0, len(samples) - 1, speech.sample_rate / RATE)
    return np.interp(at, np.arange(len(samples)), samples)


def in_noise(parts: Sequence[np.ndarray], level: float) -> bytes:
    """The parts in a row, in noise whose standard deviation is `level`."""
    clean = np.concatenate(parts)
    noise = np.random.default_rng(7).normal(0, level, len(clean)) if level else 0
    return np.clip(clean + noise, -32768, 32767).astype("<i2").tobytes()


def turns(vad: SileroVADAnalyzer, audio: bytes, rate: int = RATE) -> list[tuple[int, int]]:
    """The windows in which it says that speech begins and ends."""
    vad.set_sample_rate(rate)
    vad.set_params(VADParams(confidence=0.7, start_secs=0.2, stop_secs=0.2, min_volume=0.6))
    size = 2 * vad.num_frames_required()
    found: list[tuple[int, int]] = []
    begin: int | None = None
    for window in range(len(audio) // size):
        state = vad._run_analyzer(audio[size * window : size * (window + 1)])
        if begin is None and state is VADState.SPEAKING:
            begin = window
        elif begin is not None and state is VADState.QUIET:
            found.append((begin, window))
            begin = None
    return found


def conversation(pause_s: float, level: float) -> bytes:
    parts = [silence(3)]
    for text in SAID:
        parts += [said(text), silence(pause_s)]
    return in_noise(parts, level)


@pytest.mark.parametrize("level", [0, 5, 60, 400], ids=["no noise", "faint noise", "noise", "loud noise"])
@pytest.mark.parametrize("pause_s", [0.3, 7])
def test_turns_begin_and_end_when_pipecats_do(pause_s: float, level: float) -> None:
    audio = conversation(pause_s, level)

    theirs, ours = turns(SileroVADAnalyzer(), audio), turns(Vad(), audio)

    assert len(ours) == len(theirs) == len(SAID)
    for (our_begin, our_end), (their_begin, their_end) in zip(ours, theirs, strict=True):
        assert their_begin - 5 <= our_begin <= their_begin + 1  # out of silence ours notices sooner
        assert abs(our_end - their_end) <= 2


@pytest.mark.parametrize("level", [0, 60], ids=["digital silence", "a quiet room"])
def test_a_voice_is_noticed_within_300_ms(level: float) -> None:
    begins_at = 3 * RATE + int(np.argmax(np.abs(said(SAID[0])) > 1000))

    (first, _), *_ = turns(Vad(), conversation(1, level))

    assert (first + 1) * WINDOW - begins_at < 0.3 * RATE


def test_the_model_is_not_shown_what_is_too_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = 0
    audio = conversation(7, 5)
    score = SileroVADAnalyzer.voice_confidence

    def counted(vad: SileroVADAnalyzer, buffer: bytes) -> float:
        nonlocal shown
        shown += 1
        return score(vad, buffer)

    monkeypatch.setattr(SileroVADAnalyzer, "voice_confidence", counted)
    turns(Vad(), audio)

    spoken = sum(len(said(text)) for text in SAID) // WINDOW
    assert spoken // 2 < shown < 2 * spoken < len(audio) // (2 * WINDOW) // 2


def test_the_models_run_at_the_configured_rate() -> None:
    for rate, window in ((8_000, 256), (16_000, 512)):
        tuned = models.tuned(AgentConfig.model_validate({**KEYS, "stt_sample_rate": rate}))
        assert (tuned.vad.sample_rate, tuned.smart_turn.sample_rate) == (rate, rate)
        assert tuned.vad.num_frames_required() == window


def test_turns_at_8_khz_are_those_at_16_khz() -> None:
    audio = conversation(1, 5)
    halved = soxr.resample(np.frombuffer(audio, "<i2"), RATE, RATE // 2).astype("<i2").tobytes()

    for at_8, at_16 in zip(turns(Vad(), halved, RATE // 2), turns(Vad(), audio), strict=True):
        assert all(abs(one - other) <= 4 for one, other in zip(at_8, at_16, strict=True))


async def test_speech_that_is_ended_begins_again_if_it_goes_on() -> None:
    vad = Vad()
    audio = in_noise([silence(1), said(SAID[3]), silence(1)], 5)
    (begin, _end), *_ = turns(vad, audio)
    turns(vad, audio[: 2 * WINDOW * (begin + 10)])

    vad.end_speech()

    states = [
        await vad.analyze_audio(audio[2 * WINDOW * n : 2 * WINDOW * (n + 1)]) for n in range(begin + 10, begin + 20)
    ]
    assert states[0] is VADState.QUIET
    assert VADState.SPEAKING in states


async def test_audio_that_comes_while_smart_turn_decides_belongs_to_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    may_decide, seen = threading.Event(), list[float]()

    def predict(audio: np.ndarray) -> dict[str, float]:
        seen.append(len(audio) / RATE)
        assert may_decide.wait(5)
        return {"prediction": 1, "probability": 1.0}

    smart_turn = models.tuned(AgentConfig.model_validate({**KEYS, "stt_sample_rate": RATE})).smart_turn
    monkeypatch.setattr(smart_turn, "_predict_endpoint", predict)
    smart_turn.append_audio(bytes(2 * RATE), is_speech=True)
    smart_turn.append_audio(bytes(2 * RATE), is_speech=True)
    deciding = asyncio.create_task(smart_turn.analyze_end_of_turn())
    await until(lambda: seen, 5)
    smart_turn.append_audio(bytes(2 * RATE // 2), is_speech=True)
    smart_turn.append_audio(bytes(2 * RATE // 2), is_speech=True)
    may_decide.set()
    assert (await deciding)[0] is EndOfTurnState.COMPLETE
    await smart_turn.analyze_end_of_turn()
    smart_turn.clear()
    assert seen == [2.0, 1.0]
