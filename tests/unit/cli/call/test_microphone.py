"""The caller's microphone on a machine that plays no sound, or slowly."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc

from greenroom_cli.call import participant
from greenroom_cli.call.audio import RATE, Speech
from greenroom_cli.call.microphone import Microphone
from greenroom_cli.call.participant import Call, NotSpoken
from greenroom_cli.errors import CommandError

WORDS = Speech("What time is it?", np.full(RATE // 10, 4000, dtype=np.int16))


class Source(rtc.AudioSource):
    """Takes a frame while it is open, and counts the loud ones."""

    def __init__(self) -> None:
        super().__init__(RATE, 1)
        self.taking = asyncio.Event()
        self.broken = False
        self.loud = 0

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await self.taking.wait()
        if self.broken:
            raise RuntimeError
        await asyncio.sleep(0)
        self.loud += any(frame.data)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """The sources that were made."""
    made: list[Source] = []

    def make(*_: object, **__: object) -> Source:
        made.append(Source())
        return made[-1]

    monkeypatch.setattr("greenroom_cli.call.microphone.rtc.AudioSource", make)
    return made


async def test_words_that_are_not_sent_in_time_are_named_and_the_next_ones_are_sent_alone(
    source: list[Source], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participant, "SAY_SLACK_S", 0.1)
    async with Call(tmp_path / "heard.wav", lambda _: None) as call:
        with pytest.raises(NotSpoken, match=r"'What time is it\?' was not spoken in full: its 0\.1 s .* within 0\.3 s"):
            await call.say(WORDS)

        source[0].taking.set()
        await call.say(WORDS)

    assert source[0].loud <= 6, "the five frames of the second time, and the one that was under way"


async def test_a_track_that_takes_no_sound_ends_the_wait_at_once(source: list[Source]) -> None:
    microphone = Microphone()
    source[0].broken = True
    source[0].taking.set()

    async with asyncio.timeout(2):
        with pytest.raises(CommandError, match="takes no sound: RuntimeError"):
            await microphone.say(WORDS.samples)
