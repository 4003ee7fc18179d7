"""LiveKit's agent protocol: what its clients and components show of an agent, and the text that the caller types.

State is the attribute `lk.agent.state`, captions are text streams of the topic `lk.transcription`, typed text comes on
`lk.chat`. Clients that read captions from a track's transcription events get each caption as such a packet, too.
"""

# pyright: standard

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final

from livekit import rtc

from agent_runner.domain.front_end import Caption, FrontEndEffect, Shown
from agent_runner.domain.typed_text import TypedText
from chassis import logs
from chassis.tasks import Tasks

CHAT: Final = "lk.chat"
CAPTIONS: Final = "lk.transcription"
STATE: Final = "lk.agent.state"
SEGMENT: Final = "lk.segment_id"
TRACK: Final = "lk.transcribed_track_id"
FINAL: Final = "lk.transcription_final"

_SEND_S: Final = 2.0
_READ_S: Final = 5.0
_MOST_OPEN: Final = 4  # texts that may be on their way at once
_MOST_WAITING: Final = 200  # a room that takes no data loses captions, not the call

log = logs.get_logger(__name__)


class FrontEndLink:
    """Sends the agent's state and the captions in order, from one task, and takes typed text."""

    def __init__(self, caller: Callable[[], str], typed: Callable[[str], None], *, shows: bool, longest: int) -> None:
        """Make the link of one call.

        Args:
            caller: The caller's identity; only the caller's text is read.
            typed: Called with each text.
            shows: Whether captions are sent.
            longest: Characters of a typed text; 0: none is taken.
        """
        self._caller = caller
        self._typed = typed
        self._shows = shows
        self._longest = longest
        self._room: rtc.Room | None = None
        self._names = secrets.token_hex(4)  # segments of two epochs differ
        self._waiting: asyncio.Queue[FrontEndEffect] = asyncio.Queue(_MOST_WAITING)
        self._state = Shown("initializing")
        self._writer: rtc.TextStreamWriter | None = None
        self._sending: asyncio.Task[None] | None = None
        self._bucket = TypedText()
        self._reading = Tasks()

    def attach(self, room: rtc.Room) -> None:
        """Take typed text from this room, which is not joined yet."""
        if self._longest:
            room.register_text_stream_handler(CHAT, self._on_stream)

    def joined(self, room: rtc.Room) -> None:
        """Send to this room from now on."""
        self._room, self._writer = room, None
        self.show(self._state)
        if self._sending is None:
            self._sending = Tasks().spawn(self._send())

    def show(self, effect: FrontEndEffect) -> None:
        """Send this, now or once the room is joined: a first word may be heard before the join has been told here."""
        if isinstance(effect, Shown):
            self._state = effect
        is_wanted = self._room is not None if isinstance(effect, Shown) else self._shows
        if is_wanted and not self._waiting.full():
            self._waiting.put_nowait(effect)

    async def _send(self) -> None:
        while True:
            effect = await self._waiting.get()
            room = self._room
            if room is None or not room.isconnected():
                continue
            try:
                async with asyncio.timeout(_SEND_S):
                    await (self._send_state(room) if isinstance(effect, Shown) else self._send_caption(room, effect))
            except Exception as error:
                self._writer = None
                log.warning(
                    "front_end.not_sent", what=type(effect).__name__, error=f"{type(error).__name__}: {error}"[:200]
                )

    async def _send_state(self, room: rtc.Room) -> None:
        """Send the newest state; without the grant canUpdateOwnMetadata LiveKit ignores it."""
        await room.local_participant.set_attributes({STATE: self._state.state})

    async def _send_caption(self, room: rtc.Room, caption: Caption) -> None:
        identity = room.local_participant.identity if caption.side == "agent" else self._caller()
        track = _microphone(room, identity)
        name = f"SG_{self._names}{caption.segment}"
        attributes = {SEGMENT: name, FINAL: str(caption.is_final).lower()} | ({TRACK: track} if track else {})
        if caption.side == "caller":
            await self._stream(room, identity, caption.text, attributes)
        else:
            self._writer = self._writer or await room.local_participant.stream_text(
                topic=CAPTIONS, sender_identity=identity, attributes=attributes
            )
            if caption.added:
                await self._writer.write(caption.added)
            if caption.is_final:
                writer, self._writer = self._writer, None
                await writer.aclose(attributes=attributes)
        if track:
            segment = rtc.TranscriptionSegment(name, caption.text, 0, 0, "", caption.is_final)
            await room.local_participant.publish_transcription(rtc.Transcription(identity, track, [segment]))

    async def _stream(self, room: rtc.Room, identity: str, text: str, attributes: dict[str, str]) -> None:
        writer = await room.local_participant.stream_text(
            topic=CAPTIONS, sender_identity=identity, attributes=attributes
        )
        await writer.write(text)
        await writer.aclose()

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        bucket = self._bucket.taken(time.monotonic()) if identity == self._caller() else None
        if bucket is None or len(self._reading) >= _MOST_OPEN:
            reader.close()
            return
        self._bucket = bucket
        self._reading.spawn(self._read(reader))

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        text = ""
        try:
            async with asyncio.timeout(_READ_S):
                async for part in reader:
                    text += part
                    if len(text) > self._longest:
                        log.warning("typed.too_long", most=self._longest)
                        return
        except (TimeoutError, ConnectionError):
            return
        finally:
            reader.close()
        if text.strip():
            self._typed(text.strip())


def _microphone(room: rtc.Room, identity: str) -> str | None:
    """The id of the participant's microphone track."""
    one = room.remote_participants.get(identity) or room.local_participant
    if one.identity != identity:
        return None
    published = one.track_publications.values()
    return next((track.sid for track in published if track.source == rtc.TrackSource.SOURCE_MICROPHONE), None)
