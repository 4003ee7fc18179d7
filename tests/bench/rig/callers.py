"""Callers in a process of their own: each joins its room and asks the same question again and again until told to stop.

    python tests/bench/rig/callers.py < order.json

The order is one line: {"url": LiveKit's, "tokens": one per caller, "wav": what is said (16 kHz, mono, 16 bit)}. When
all have joined, a line "joined" comes; at the end of the input the callers hang up, and a line says for how many
seconds each has heard its agent speak, and for how long it listened.
"""

import asyncio
import json
import os
import sys
import time
import wave
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import numpy as np
from livekit import rtc

RATE = 16_000
FRAME = RATE // 50
PERIOD_FRAMES = 8 * 50  # from one question to the next
OPENING_FRAMES = 3 * 50  # until the opening line has ended
AUDIBLE = 500


class AskingCaller:
    """One caller; its rhythm starts when its agent is first heard."""

    def __init__(self, question: bytes) -> None:
        self.heard_s = 0.0
        self._question = question
        self._source = rtc.AudioSource(RATE, 1, 100)
        self._room = rtc.Room()
        self._tasks: set[asyncio.Task[None]] = set()
        self._room.on("track_subscribed", self._on_track)

    async def join(self, url: str, token: str) -> None:
        await self._room.connect(url, token)
        track = rtc.LocalAudioTrack.create_audio_track("caller", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._spawn(self._ask())

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._room.disconnect()

    async def _ask(self) -> None:
        while not self.heard_s:
            await self._send(bytes(FRAME * 2))
        await self._send(bytes(OPENING_FRAMES * FRAME * 2))
        while True:
            await self._send(self._question.ljust(PERIOD_FRAMES * FRAME * 2, b"\0"))

    async def _send(self, samples: bytes) -> None:
        """Send whole frames at their own pace, silence included: who hears nothing cannot tell a sentence's end."""
        for at in range(0, len(samples), FRAME * 2):
            piece = samples[at : at + FRAME * 2].ljust(FRAME * 2, b"\0")
            await self._source.capture_frame(rtc.AudioFrame(piece, RATE, 1, FRAME))

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self._listen(track))

    async def _listen(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track):
            if np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max(initial=0) > AUDIBLE:
                self.heard_s += event.frame.duration

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    with wave.open(order["wav"], "rb") as file:
        question = file.readframes(file.getnframes())
    callers = [AskingCaller(question) for _ in order["tokens"]]
    await asyncio.gather(*(c.join(order["url"], t) for c, t in zip(callers, order["tokens"], strict=True)))
    began = time.monotonic()
    print("joined", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    listened_s = time.monotonic() - began
    print(json.dumps({"heard_s": [caller.heard_s for caller in callers], "listened_s": listened_s}), flush=True)
    for caller in callers:
        with suppress(TimeoutError):
            await asyncio.wait_for(caller.leave(), 5)


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)  # LiveKit's runtime sometimes crashes at its teardown
