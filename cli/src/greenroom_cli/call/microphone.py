"""The caller's microphone: a track with continuous audio, silence or speech."""

import asyncio
from collections import deque

import numpy as np
from livekit import rtc

from chassis.errors import text_of
from chassis.tasks import Tasks, cancel, first_of
from greenroom_cli.call.audio import FRAME_SAMPLES, RATE, Samples
from greenroom_cli.errors import CommandError

# A short queue keeps the track from starving; its length is the delay of `spoken`.
QUEUE_MS = 60
LONGEST_SPEECH_S = 120
CLOSE_S = 2.0


class Microphone:
    """Sends 20 ms frames in real time, also silence: without it the agent cannot detect the end of a sentence."""

    def __init__(self) -> None:
        self._source = rtc.AudioSource(RATE, 1, queue_size_ms=QUEUE_MS)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", self._source)
        self._frames: deque[Samples] = deque(maxlen=LONGEST_SPEECH_S * 50)
        self._said = asyncio.Event()
        self._is_closing = False
        self._task = Tasks().spawn(self._run())

    async def say(self, samples: Samples) -> None:
        """Send speech; return when its last frame was played into the track. When cancelled, drop the rest.

        Raises:
            CommandError: The track takes no more sound.
        """
        self._said.clear()
        for start in range(0, len(samples), FRAME_SAMPLES):
            self._frames.append(samples[start : start + FRAME_SAMPLES])
        try:
            if await first_of(self._said.wait(), asyncio.shield(self._task)) == 0:
                return
        except Exception as error:
            raise CommandError(f"the microphone's track takes no sound: {text_of(error)}", "call again") from error
        finally:
            self._frames.clear()
        raise CommandError("the microphone was closed before everything was said")

    async def close(self) -> None:
        """Stop after the current frame: the native library may call back for a cancelled one."""
        self._is_closing = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._task
        except TimeoutError:
            await cancel(self._task)
        await self._source.aclose()

    async def _run(self) -> None:
        silence = np.zeros(FRAME_SAMPLES, dtype=np.int16)
        while not self._is_closing:
            frame = self._frames.popleft() if self._frames else silence
            padded = np.pad(frame, (0, FRAME_SAMPLES - len(frame)))
            await self._source.capture_frame(rtc.AudioFrame(padded.tobytes(), RATE, 1, FRAME_SAMPLES))
            if not self._frames:
                self._said.set()
