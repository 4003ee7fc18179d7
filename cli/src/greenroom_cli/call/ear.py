"""The caller's ear: records the agent's track, and divides it into utterances by silence."""

import asyncio
import contextlib
import time
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from livekit import rtc

from chassis.tasks import Tasks, cancel
from greenroom_cli.call.audio import FRAME_MS, RATE, Samples, is_loud

# Longer than a pause between two sentences of one answer.
QUIET_S = 1.5
MOST_UTTERANCES = 1000
# Silence before the first speech: without it a recogniser has no noise level to compare with.
LEAD_IN_MS = 1000
FRAMES_AHEAD = 500  # 10 s; the oldest frames are dropped


@dataclass(frozen=True)
class Utterance:
    """A continuous piece of speech.

    Attributes:
        began_at: Monotonic time of its first sound.
        ended_at: Monotonic time of its last sound.
        start_ms: Its start in the audio heard so far.
        end_ms: Its end in that audio.
    """

    began_at: float
    ended_at: float
    start_ms: int
    end_ms: int


class Ear:
    """Listens to one track at a time; a new track, after a take-over, replaces the old one.

    Args:
        recording: The wav file to write; it omits the gaps between tracks.
        feed: Called with each frame, for example a transcriber's `feed`.
    """

    def __init__(self, recording: Path, feed: Callable[[Samples], None]) -> None:
        self.first_sound_at: float | None = None
        self.position_ms = 0
        self.utterances: asyncio.Queue[Utterance] = asyncio.Queue(MOST_UTTERANCES)
        self.sounded = asyncio.Event()
        self._feed = feed
        self._current: Utterance | None = None
        self._listening: asyncio.Task[None] | None = None
        recording.parent.mkdir(parents=True, exist_ok=True)
        self._file = wave.open(str(recording), "wb")  # noqa: SIM115 - closed by close()
        self._file.setparams((1, 2, RATE, 0, "NONE", "not compressed"))

    def attach(self, track: rtc.Track) -> None:
        if self._listening:
            self._listening.cancel()
        else:
            silence = np.zeros(RATE * FRAME_MS // 1000, dtype=np.int16)
            for _ in range(LEAD_IN_MS // FRAME_MS):
                self.hear(silence, time.monotonic())
        self._listening = Tasks().spawn(self._listen(track))

    async def close(self) -> None:
        if self._listening:
            await cancel(self._listening)
        self._file.close()

    def hear(self, frame: Samples, now: float) -> None:
        """Process one frame of FRAME_MS that arrived at monotonic time `now`."""
        self._file.writeframes(frame.tobytes())
        self._feed(frame)
        start_ms, self.position_ms = self.position_ms, self.position_ms + FRAME_MS
        current = self._current
        if is_loud(frame):
            if self.first_sound_at is None:
                self.first_sound_at = now
            began_at, began_ms = (current.began_at, current.start_ms) if current else (now, start_ms)
            self._current = Utterance(began_at, now, began_ms, self.position_ms)
            self.sounded.set()
        elif current and self.position_ms - current.end_ms >= QUIET_S * 1000:
            self._current = None
            with contextlib.suppress(asyncio.QueueFull):
                self.utterances.put_nowait(current)

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS, capacity=FRAMES_AHEAD)
        try:
            async for event in stream:
                self.hear(np.frombuffer(event.frame.data, dtype=np.int16), time.monotonic())
        finally:
            await stream.aclose()
