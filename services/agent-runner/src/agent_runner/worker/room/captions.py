"""Captions: text streams of the topic `lk.transcription`, and the same as transcription events of the speaker's track.

livekit-client's components read an agent's captions from the events, other clients from the streams.
"""

# pyright: standard

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from livekit import rtc

from agent_runner.domain.front_end import Caption
from chassis import logs
from chassis.tasks import Tasks
from contracts.captions import FINAL, SEGMENT, TOPIC, TRACK

SEND_S: Final = 2.0
_FINISH_S: Final = 0.3
_MOST_WAITING: Final = 200  # a room that takes no data loses captions, not the call

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Stream:
    """An open text stream of the agent's, and the version of the caption that it has."""

    room: rtc.Room
    writer: rtc.TextStreamWriter
    has: Caption


class Captions:
    """Sends captions in order, from one task, while the caller's client can receive them.

    LiveKit (1.13.5) keeps reliable packets for a participant whose data channel is not open yet, and delivers none that
    are older than the participant. A client drops the words of a stream whose beginning it did not get. So captions
    wait until the caller's media is up, and a client that missed the beginning gets the complete caption at its end.
    Of a segment that waits only the newest version is sent.
    """

    def __init__(self, caller: Callable[[], str]) -> None:
        """`caller` returns the caller's identity."""
        self._caller = caller
        self._names = secrets.token_hex(4)  # segments of two epochs differ
        self._room: rtc.Room | None = None
        self._is_ready = False
        self._is_leaving = False
        self._waiting: dict[int, Caption] = {}  # by segment
        self._wakes = asyncio.Event()
        self._sends = asyncio.Lock()
        self._sending: asyncio.Task[None] | None = None
        self._open: _Stream | None = None
        self._done: Caption | None = None
        self._reached: set[str] = set()  # identities that have the open stream from its beginning

    def not_ready(self) -> None:
        """The agent is in no room, or joins another one."""
        self._is_ready, self._room = False, None

    def ready(self) -> None:
        """The caller's media is up."""
        self._is_ready = True
        self._wakes.set()

    def joined(self, room: rtc.Room) -> None:
        """Send to this room."""
        self._room, self._is_leaving = room, False
        self._wakes.set()
        if self._sending is None:
            self._sending = Tasks().spawn(self._run())

    def left(self, identity: str) -> None:
        """This participant left; a client that comes back knows no open stream."""
        self._reached.discard(identity)

    def show(self, caption: Caption) -> None:
        """Send this when the room is joined and the caller's client can receive it."""
        if caption.segment in self._waiting or len(self._waiting) < _MOST_WAITING:
            self._waiting[caption.segment] = caption
            self._wakes.set()

    async def finish(self) -> bool:
        """Before leaving: complete the open caption and send what waits, in 0.3 s at most; whether there was any."""
        is_any = self._can_send() and (self._open is not None or bool(self._waiting) or self._sends.locked())
        self._is_leaving = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_FINISH_S):
                await self._drain()
        return is_any

    async def _run(self) -> None:
        while True:
            await self._wakes.wait()
            self._wakes.clear()
            await self._drain()

    def _can_send(self) -> bool:
        return self._is_ready and self._room is not None and self._room.isconnected()

    async def _drain(self) -> None:
        async with self._sends:
            if self._is_leaving and self._open is not None:
                caption = self._open.has
                self._waiting = {caption.segment: caption} | self._waiting
            while self._waiting and self._can_send():
                caption = self._waiting.pop(next(iter(self._waiting)))
                caption = replace(caption, is_final=caption.is_final or self._is_leaving)
                if caption == self._done:
                    continue
                try:
                    async with asyncio.timeout(SEND_S):
                        await self._send(caption)
                except Exception as error:
                    self._open = None  # the next version of the segment opens a stream with all of its words
                    log.warning("front_end.not_sent", what="Caption", error=f"{type(error).__name__}: {error}"[:200])

    async def _send(self, caption: Caption) -> None:
        room = self._room
        assert room is not None
        identity = room.local_participant.identity if caption.side == "agent" else self._caller()
        track = _microphone(room, identity)
        name = f"SG_{self._names}{caption.segment}"
        attributes = {SEGMENT: name, FINAL: str(caption.is_final).lower()} | ({TRACK: track} if track else {})
        if caption.side == "agent":
            await self._extend(room, caption, attributes)
        else:
            await _send_whole(room, identity, caption.text, attributes)
        if track:
            segment = rtc.TranscriptionSegment(name, caption.text, 0, 0, "", caption.is_final)
            await room.local_participant.publish_transcription(rtc.Transcription(identity, track, [segment]))

    async def _extend(self, room: rtc.Room, caption: Caption, attributes: dict[str, str]) -> None:
        """Write what the caption's stream lacks; a stream is opened with its first words."""
        identity, stream = room.local_participant.identity, self._open
        if stream is not None and stream.room is not room:
            stream = None
        if stream is not None and stream.has.segment != caption.segment:
            await stream.writer.aclose()
            stream = None
        if stream is None:
            self._reached = {self._caller(), *room.remote_participants}
            stream = _Stream(room, await _opened(room, identity, attributes), replace(caption, text=""))
        if added := caption.text[len(stream.has.text) :]:
            await stream.writer.write(added)
        self._open = None if caption.is_final else replace(stream, has=caption)
        if caption.is_final:
            self._done = caption
            await stream.writer.aclose(attributes=attributes)
            if late := room.remote_participants.keys() - self._reached:
                await _send_whole(room, identity, caption.text, attributes, to=sorted(late))


async def _opened(
    room: rtc.Room, identity: str, attributes: dict[str, str], to: list[str] | None = None
) -> rtc.TextStreamWriter:
    """A new stream in this participant's name; `to`: the identities that get it, None for all."""
    return await room.local_participant.stream_text(
        topic=TOPIC, sender_identity=identity, attributes=attributes, destination_identities=to
    )


async def _send_whole(
    room: rtc.Room, identity: str, text: str, attributes: dict[str, str], to: list[str] | None = None
) -> None:
    writer = await _opened(room, identity, attributes, to)
    await writer.write(text)
    await writer.aclose()


def _microphone(room: rtc.Room, identity: str) -> str | None:
    """The id of the participant's microphone track."""
    one = room.remote_participants.get(identity) or room.local_participant
    if one.identity != identity:
        return None
    published = one.track_publications.values()
    return next((track.sid for track in published if track.source == rtc.TrackSource.SOURCE_MICROPHONE), None)
