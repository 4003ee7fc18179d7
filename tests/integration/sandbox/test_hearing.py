"""The sandbox's recogniser understands its voice, and does not mistake unexpected speech for a known sentence."""

import time
from pathlib import Path

import numpy as np
import pytest

from tests.integration.sandbox.running import (
    RATE,
    Sandbox,
    force_end,
    listening,
    next_of,
    send_audio,
    speak,
    transcribe,
)

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize("voice", ["Ashley", "Edward"])
@pytest.mark.parametrize(
    ("said", "keyword"),
    [
        ("What time is it?", "time"),
        ("What did you just say?", "you"),
        ("Count to five.", "count"),
        ("What is your name?", "name"),
        ("I said: It is a quarter past three.", "quarter"),
    ],
)
async def test_an_expected_sentence_is_recognised(sandbox: Sandbox, said: str, keyword: str, voice: str) -> None:
    heard = await transcribe(sandbox, await speak(sandbox, said, voice))

    assert keyword in heard.lower().split() or keyword in heard.lower().rstrip(".?").split()


async def test_speech_at_another_rate_is_recognised(sandbox: Sandbox) -> None:
    heard = await transcribe(sandbox, await speak(sandbox, "What time is it?", "Olivia", rate=24_000), rate=24_000)

    assert "time" in heard.lower()


@pytest.mark.parametrize(
    "said", ["Purple elephants juggle quietly.", "Where is the nearest hospital?", "My laptop battery is nearly empty."]
)
async def test_another_sentence_is_not_taken_for_an_expected_one(sandbox: Sandbox, said: str) -> None:
    heard = (await transcribe(sandbox, await speak(sandbox, said, "Edward"))).lower()

    assert not {"time", "count", "say", "name"} & set(heard.rstrip(".?").split())


async def test_noise_is_no_sentence(sandbox: Sandbox) -> None:
    noise = np.random.default_rng(7).normal(0, 2_000, RATE * 3).astype(np.int16).tobytes()

    heard = (await transcribe(sandbox, noise)).lower()

    assert not {"time", "count", "say"} & set(heard.rstrip(".?").split())


async def test_silence_is_nothing(sandbox: Sandbox) -> None:
    assert await transcribe(sandbox, bytes(RATE * 2 * 3)) == ""


async def test_a_forced_end_gives_the_final_at_once(sandbox: Sandbox) -> None:
    pcm = await speak(sandbox, "What did you just say?", "Edward")
    async with listening(sandbox) as socket:
        forced = await force_end(socket, pcm)
        turn = await next_of(socket, "Turn")

    # All of the audio was sent at once, so that the recogniser's work on it is in this time too.
    assert time.monotonic() - forced < 2.0
    assert turn["transcript"] == "What did you just say?"
    assert turn["turn_is_formatted"] is True
    assert [word["text"] for word in turn["words"]] == ["what", "did", "you", "just", "say"]
    assert all(
        before["end"] <= after["start"] + 20 for before, after in zip(turn["words"], turn["words"][1:], strict=False)
    )


async def test_a_pause_ends_a_turn_without_being_asked(sandbox: Sandbox) -> None:
    first, second = await speak(sandbox, "Count to five.", "Edward"), await speak(sandbox, "What time is it?", "Edward")
    async with listening(sandbox) as socket:
        await send_audio(socket, first + bytes(RATE * 2) + second + bytes(RATE * 2))

        turns = [await next_of(socket, "Turn"), await next_of(socket, "Turn")]

    assert [turn["turn_order"] for turn in turns] == [0, 1]
    assert "count" in turns[0]["transcript"].lower()
    assert "time" in turns[1]["transcript"].lower()


async def test_a_benchmarks_recogniser_takes_any_speech_for_its_words_at_its_time(tmp_path: Path) -> None:
    with Sandbox(tmp_path, SANDBOX_STT_WORDS="can you hear me", SANDBOX_STT_FINAL_MS="400") as sandbox:
        pcm = await speak(sandbox, "Count to five.", "Edward")
        async with listening(sandbox) as socket:
            forced = await force_end(socket, pcm)
            turn = await next_of(socket, "Turn")
            took_s = time.monotonic() - forced

    assert 0.4 <= took_s < 2.0
    assert [word["text"] for word in turn["words"]] == ["can", "you", "hear", "me"]
