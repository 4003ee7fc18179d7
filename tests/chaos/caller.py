"""A participant in its own process: `python -m tests.chaos.caller`.

Orders come as JSON lines on stdin, what happens goes as JSON lines to stdout; the end of stdin ends it. A process of
its own, because a room that is ended under a client can crash it natively (livekit/rust-sdks#1443), and because tests
kill and freeze callers, too.

Orders: {"do": "join", "url", "token"}, {"do": "say", "wav"}, {"do": "leave"}.
Reports: {"kind", "at", "who", "sid", "detail"}; `at` is the monotonic clock, which all processes of a host share.
"""

# pyright: reportUnknownMemberType=false

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from livekit import rtc

from greenroom_cli.call.audio import FRAME_MS, RATE, is_loud, read_wav
from greenroom_cli.call.microphone import Microphone

QUIET_S = 0.8  # shorter than this is a pause between two words, or of a busy host
CONNECT_S = 15.0


def report(kind: str, *, who: str = "", sid: str = "", detail: str = "", at: float | None = None) -> None:
    """Write one report."""
    moment = time.monotonic() if at is None else at
    print(json.dumps({"kind": kind, "at": moment, "who": who, "sid": sid, "detail": detail}), flush=True)  # noqa: T201


class Stay:
    """One stay in one room, with a microphone and an ear for each track."""

    def __init__(self) -> None:
        self._microphone = Microphone()
        self._room = rtc.Room()
        self._ears: dict[str, asyncio.Task[None]] = {}
        self._room.on("participant_connected", self._on_joined)
        self._room.on("participant_disconnected", self._on_left)
        self._room.on("track_subscribed", self._on_track)
        self._room.on("track_unsubscribed", self._on_track_gone)
        self._room.on("reconnecting", lambda: report("reconnecting"))
        self._room.on("reconnected", lambda: report("reconnected"))
        self._room.on("disconnected", lambda reason: report("closed", detail=rtc.DisconnectReason.Name(reason)))

    async def join(self, url: str, token: str) -> None:
        async with asyncio.timeout(CONNECT_S):
            await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=True))
            options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await self._room.local_participant.publish_track(self._microphone.track, options)
        report("joined", sid=self._room.local_participant.sid)
        for participant in self._room.remote_participants.values():
            self._on_joined(participant)

    async def say(self, wav: Path) -> None:
        samples = read_wav(wav)
        report("saying")
        await self._microphone.say(samples)
        report("said")

    async def leave(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._room.disconnect()
        report("left")
        for ear in self._ears.values():
            ear.cancel()
        await asyncio.gather(*self._ears.values(), return_exceptions=True)
        await self._microphone.close()

    def _on_joined(self, participant: rtc.RemoteParticipant) -> None:
        report("other_joined", who=participant.identity, sid=participant.sid)

    def _on_left(self, participant: rtc.RemoteParticipant) -> None:
        report("other_left", who=participant.identity, sid=participant.sid)

    def _on_track(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._ears[track.sid] = asyncio.create_task(self._listen(track, participant))

    def _on_track_gone(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        """A later track reuses the receiver of this one, so that it would be heard under both names."""
        if ear := self._ears.pop(track.sid, None):
            ear.cancel()

    async def _listen(self, track: rtc.Track, participant: rtc.RemoteParticipant) -> None:
        """Report where sound begins and where it has ended."""
        who, sid = participant.identity, f"{participant.sid}/{track.sid}"
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=FRAME_MS)
        loud_at: float | None = None
        try:
            async for event in stream:
                now = time.monotonic()
                if is_loud(np.frombuffer(event.frame.data, dtype=np.int16)):
                    if loud_at is None:
                        report("sound", who=who, sid=sid, at=now)
                    loud_at = now
                elif loud_at is not None and now - loud_at > QUIET_S:
                    report("quiet", who=who, sid=sid, at=loud_at)
                    loud_at = None
        finally:
            if loud_at is not None:
                report("quiet", who=who, sid=sid, at=loud_at)
            await stream.aclose()


async def main() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    stay: Stay | None = Stay()
    report("ready")
    while line := await reader.readline():
        order = json.loads(line)
        try:
            match order["do"]:
                case "join":
                    stay = stay or Stay()
                    await stay.join(order["url"], order["token"])
                case "say" if stay is not None:
                    await stay.say(Path(order["wav"]))
                case "leave" if stay is not None:
                    await stay.leave()
                    stay = None
                case _:
                    report("failed", detail=f"cannot {order['do']} now")
        except (rtc.ConnectError, TimeoutError) as error:
            report("failed", detail=f"{order['do']}: {error or type(error).__name__}")
    if stay is not None:
        await stay.leave()
    os._exit(0)  # the native library's own end may crash


if __name__ == "__main__":
    asyncio.run(main())
