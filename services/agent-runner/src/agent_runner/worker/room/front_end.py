"""LiveKit's agent protocol: what its clients and components show of an agent, and the text that the caller types.

State is the attribute `lk.agent.state`, `captions.py` sends the captions, typed text comes on `lk.chat`.
"""

# pyright: standard

import asyncio
import time
from collections.abc import Callable
from typing import Final

from livekit import rtc

from agent_runner.domain.front_end import FrontEndEffect, Shown
from agent_runner.domain.typed_text import TypedText
from agent_runner.worker.room.captions import SEND_S, Captions
from chassis import logs
from chassis.tasks import Tasks

CHAT: Final = "lk.chat"
STATE: Final = "lk.agent.state"

_DEPARTURE_S: Final = 1.0  # until clients have noticed that the agent's predecessor left
_ANSWER_S: Final = 0.5  # then a state is sent again
_READ_S: Final = 5.0
_MOST_OPEN: Final = 4  # texts that may be on their way at once

log = logs.get_logger(__name__)


class FrontEndLink:
    """Sends the agent's newest state and the captions, and takes typed text.

    Attributes:
        captions: Sends the captions.
        succeeds: The agent takes the identity of a participant that has just left. Clients that have not noticed that
            yet would drop what they got of the successor's streams.
    """

    succeeds = False

    def __init__(self, caller: Callable[[], str], typed: Callable[[str], None], *, shows: bool, longest: int) -> None:
        """Make the link of one call.

        Args:
            caller: The caller's identity; only the caller's text is read.
            typed: Called with each text.
            shows: Whether captions are sent.
            longest: Characters of a typed text; 0: none is taken.
        """
        self.captions = Captions(caller)
        self._caller = caller
        self._typed = typed
        self._shows = shows
        self._longest = longest
        self._room: rtc.Room | None = None
        self._state = Shown("initializing")
        self._has_state = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._bucket = TypedText()
        self._reading = Tasks()

    def attach(self, room: rtc.Room) -> None:
        """Take typed text from this room, which is not joined yet."""
        if self._longest:
            room.register_text_stream_handler(CHAT, self._on_stream)

    def joined(self, room: rtc.Room) -> None:
        """Send to this room from now on."""
        self._room = room
        self._has_state.set()
        if self.succeeds:
            asyncio.get_running_loop().call_later(_DEPARTURE_S, self.captions.joined, room)
        else:
            self.captions.joined(room)
        if self._sending is None:
            self._sending = Tasks().spawn(self._send_states())

    def show(self, effect: FrontEndEffect) -> None:
        """Send this, now or once the room is joined: a first word may be heard before the join has been told here."""
        if isinstance(effect, Shown):
            self._state = effect
            self._has_state.set()
        elif self._shows:
            self.captions.show(effect)

    async def _send_states(self) -> None:
        """Send the newest state, beside the captions; without the grant canUpdateOwnMetadata LiveKit ignores it."""
        while True:
            await self._has_state.wait()
            self._has_state.clear()
            room = self._room
            if room is None or not room.isconnected():
                continue
            try:
                if not await self._sends_state(room, _ANSWER_S) and not await self._sends_state(room, SEND_S):
                    log.warning("front_end.not_sent", what="Shown", error="TimeoutError")
            except Exception as error:
                log.warning("front_end.not_sent", what="Shown", error=f"{type(error).__name__}: {error}"[:200])

    async def _sends_state(self, room: rtc.Room, timeout_s: float) -> bool:
        """Send the newest state; False: no answer came, which LiveKit's client loses if it is too fast for it."""
        try:
            async with asyncio.timeout(timeout_s):
                await room.local_participant.set_attributes({STATE: self._state.state})
        except TimeoutError:
            return False
        return True

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
