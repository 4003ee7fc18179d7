"""A caller that speaks at known times, and records what it hears with the time of each frame."""

import asyncio
import time
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from .caller import AUDIBLE

Samples = NDArray[np.int16]

RATE = 24_000
FRAME = RATE // 50
QUEUE_MS = 60
ANSWER_S = 12.0


def loud(samples: Samples) -> NDArray[np.bool_]:
    """Which samples are audible."""
    return np.abs(samples.astype(np.int32)) > AUDIBLE


@dataclass(frozen=True)
class Sound:
    """What a caller can say; `first` and `last` are its first and last audible samples."""

    samples: Samples
    first: int
    last: int

    @classmethod
    def of(cls, path: Path) -> Self:
        """A wav file: mono, 16 bit, at RATE."""
        with wave.open(str(path), "rb") as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        at = np.flatnonzero(loud(samples))
        return cls(samples, int(at[0]), int(at[-1]))

    @property
    def audible_s(self) -> float:
        return (self.last - self.first) / RATE


@dataclass(frozen=True)
class Heard:
    """One frame from the agent, and when it came (monotonic)."""

    at: float
    samples: Samples
    is_loud: bool


class TalkingCaller:
    """A caller in one room, with an open microphone.

    Attributes:
        heard: The agent's frames since the last `forget`.
    """

    def __init__(self, environment: Mapping[str, str], token: str) -> None:
        self.heard: list[Heard] = []
        self._last_loud = 0.0
        self._url, self._token = environment["LIVEKIT_URL"], token
        self._room = rtc.Room()
        self._source = rtc.AudioSource(RATE, 1, QUEUE_MS)
        self._to_say: asyncio.Queue[tuple[Sound, asyncio.Future[float]]] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room.on("track_subscribed", self._on_track)

    async def __aenter__(self) -> Self:
        await self._room.connect(self._url, self._token)
        track = rtc.LocalAudioTrack.create_audio_track("caller", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._tasks.add(asyncio.create_task(self._pump()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self._room.disconnect()

    async def say(self, sound: Sound) -> tuple[float, float]:
        """Say it, and wait for its end; returns the monotonic times of its first and its last audible sample."""
        began: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        await self._to_say.put((sound, began))
        at = await began
        await asyncio.sleep(at + sound.last / RATE - time.monotonic())
        return at + sound.first / RATE, at + sound.last / RATE

    def forget(self) -> None:
        self.heard.clear()

    def loud_times(self, since: float = 0.0) -> list[float]:
        """When audible frames came, in order."""
        return [frame.at for frame in self.heard if frame.is_loud and frame.at >= since]

    async def first_loud(self, since: float, *, within_s: float = ANSWER_S) -> float:
        """When the first audible frame after a time came.

        Raises:
            TimeoutError: The agent said nothing for so long.
        """
        while True:
            if times := self.loud_times(since):
                return times[0]
            if time.monotonic() > since + within_s:
                raise TimeoutError(f"the agent said nothing within {within_s:g} s")
            await asyncio.sleep(0.02)

    async def quiet(self, seconds: float, *, within_s: float = 60.0) -> None:
        """Wait until the agent has been silent for so long."""
        began = time.monotonic()
        while time.monotonic() - self._last_loud < seconds:
            if time.monotonic() > began + within_s:
                raise TimeoutError(f"the agent was not silent for {seconds:g} s within {within_s:g} s")
            await asyncio.sleep(0.02)

    def is_agent_audible(self, within_s: float = 0.25) -> bool:
        return time.monotonic() - self._last_loud < within_s

    async def _pump(self) -> None:
        """Send frames at their own pace, silence included."""
        while True:
            try:
                sound, began = self._to_say.get_nowait()
            except asyncio.QueueEmpty:
                await self._send(np.zeros(FRAME, np.int16))
                continue
            for at in range(0, len(sound.samples), FRAME):
                await self._send(sound.samples[at : at + FRAME])
                if not began.done():
                    began.set_result(time.monotonic() + self._source.queued_duration - FRAME / RATE)

    async def _send(self, samples: Samples) -> None:
        whole = np.pad(samples, (0, FRAME - len(samples)))
        await self._source.capture_frame(rtc.AudioFrame(whole.tobytes(), RATE, 1, FRAME))

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._tasks.add(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1):
            samples = np.frombuffer(event.frame.data, np.int16).copy()
            frame = Heard(time.monotonic(), samples, bool(loud(samples).any()))
            self.heard.append(frame)
            if frame.is_loud:
                self._last_loud = frame.at
