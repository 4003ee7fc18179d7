"""The caller's microphone: a track that carries silence all the time and speech when there is some."""

import asyncio
from collections import deque

import numpy as np
from livekit import rtc

from greenroom_cli.call.audio import FRAME_SAMPLES, RATE, Samples

# As little as keeps the track from starving: what is queued is how late `spoken` is.
QUEUE_MS = 60
LONGEST_SPEECH_S = 120
CLOSE_S = 2.0


class Microphone:
    """Sends 20 ms frames at their own pace: who hears nothing at all cannot tell the end of a sentence."""

    def __init__(self) -> None:
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=QUEUE_MS)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self._frames: deque[Samples] = deque(maxlen=LONGEST_SPEECH_S * 50)
        self._said = asyncio.Event()
        self._is_closing = False
        self._task = asyncio.create_task(self._run())

    async def say(self, samples: Samples) -> None:
        """Send speech; returns when its last frame has been played into the track."""
        self._said.clear()
        for start in range(0, len(samples), FRAME_SAMPLES):
            self._frames.append(samples[start : start + FRAME_SAMPLES])
        async with asyncio.timeout(len(samples) / RATE + 5):
            await self._said.wait()

    async def close(self) -> None:
        """Stop after the frame in hand: the native library may still call back for one that is given up half-way."""
        self._is_closing = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._task
        except TimeoutError:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._source.aclose()

    async def _run(self) -> None:
        silence = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        while not self._is_closing:
            frame = self._frames.popleft() if self._frames else silence
            padded = np.pad(frame, (0, FRAME_SAMPLES - len(frame)))
            await self._source.capture_frame(rtc.AudioFrame(padded.tobytes(), RATE, 1, FRAME_SAMPLES))
            if not self._frames:
                self._said.set()
