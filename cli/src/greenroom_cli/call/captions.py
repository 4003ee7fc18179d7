"""The agent's captions: its words as it sends them, which no recogniser can mishear."""

# pyright: reportUnknownMemberType=false

from collections.abc import Callable
from contextlib import suppress

from livekit import rtc

from chassis.tasks import Tasks
from contracts.captions import FINAL, SEGMENT, TOPIC
from contracts.ids import AGENT_PREFIX


class Captions:
    """Shows each final caption of the agent's once; docs/front-end.md describes the streams.

    Attributes:
        came: The agent sends captions: the first one has begun.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self.came = False
        self._show = show
        self._shown: set[str] = set()
        self._reading = Tasks()

    def watch(self, room: rtc.Room) -> None:
        """Call it before the room is joined: LiveKit's client drops streams without a handler."""
        room.register_text_stream_handler(TOPIC, self._on_stream)

    async def close(self) -> None:
        await self._reading.cancel()

    def _on_stream(self, reader: rtc.TextStreamReader, identity: str) -> None:
        if identity.startswith(AGENT_PREFIX):
            self.came = True
            self._reading.spawn(self._read(reader))

    async def _read(self, reader: rtc.TextStreamReader) -> None:
        with suppress(ConnectionError):  # a caption that broke off comes again, whole
            text = await reader.read_all()
            attributes = reader.info.attributes or {}  # the end of the stream sets FINAL
            segment = attributes.get(SEGMENT, "")
            if attributes.get(FINAL) == "true" and text.strip() and segment not in self._shown:
                self._shown.add(segment)
                self._show(text.strip())
