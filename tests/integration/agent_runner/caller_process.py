"""A caller in a separate process, which a test may freeze.

    python -m tests.integration.agent_runner.caller_process URL TOKEN

Sends silence, and prints the seconds of voice that it has heard so far, a line for each 0.1 s of audio.
"""

import asyncio
import sys

import numpy as np
from livekit import rtc

from tests.integration.agent_runner.worker_stage import LOUD, RATE


async def main(url: str, token: str) -> None:
    room = rtc.Room()
    tasks: list[asyncio.Task[None]] = []
    room.on("track_subscribed", lambda track, *_: tasks.append(asyncio.create_task(listen(track))))
    await room.connect(url, token)
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
    options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
    await room.local_participant.publish_track(track, options)
    while True:
        await source.capture_frame(rtc.AudioFrame(bytes(960), 48_000, 1, 480))
        await asyncio.sleep(0.01)


async def listen(track: rtc.Track) -> None:
    heard_s = 0.0
    async for event in rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=100):
        samples = np.frombuffer(event.frame.data, np.int16).astype(np.int32)
        heard_s += (np.abs(samples.reshape(10, -1)).max(axis=1) > LOUD).sum() / 100
        sys.stdout.write(f"{heard_s:.2f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
