"""A participant's LiveKit client: what it is shown of the agent."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta

from livekit import api, rtc

from contracts.ids import agent_identity
from tests.support.servers import API_KEY, API_SECRET


@dataclass
class Client:
    """What a participant's client was sent."""

    states: list[str] = field(default_factory=list[str])
    kinds: set[int] = field(default_factory=set[int])
    streams: list[tuple[str, dict[str, str], str]] = field(default_factory=list[tuple[str, dict[str, str], str]])
    packets: dict[str, rtc.TranscriptionSegment] = field(default_factory=dict[str, rtc.TranscriptionSegment])
    _reading: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])

    def watch(self, room: rtc.Room) -> "Client":
        def on_attributes(changed: dict[str, str], participant: rtc.Participant) -> None:
            if "lk.agent.state" in changed:
                self.kinds.add(participant.kind)
                self.states.append(changed["lk.agent.state"])

        def on_stream(reader: rtc.TextStreamReader, identity: str) -> None:
            self._reading.append(asyncio.create_task(self._read(reader, identity)))

        def on_packet(segments: list[rtc.TranscriptionSegment], *_: object) -> None:
            self.packets |= {segment.id: segment for segment in segments}

        # A state that is set while the agent joins comes with the participant.
        room.on("participant_connected", lambda one: on_attributes(one.attributes, one))
        room.on("participant_attributes_changed", on_attributes)
        room.on("transcription_received", on_packet)
        room.register_text_stream_handler("lk.transcription", on_stream)
        return self

    async def _read(self, reader: rtc.TextStreamReader, identity: str) -> None:
        with suppress(ConnectionError):  # the call ends within a caption
            text = await reader.read_all()
            self.streams.append((identity, dict(reader.info.attributes or {}), text))

    async def final(self, identity: str, n: int = 1) -> tuple[dict[str, str], str]:
        """The `n`th complete caption of this participant's words: its attributes, and the text."""

        def complete() -> list[tuple[dict[str, str], str]]:
            return [(a, t) for who, a, t in self.streams if who == identity and a["lk.transcription_final"] == "true"]

        await self.was_sent(lambda: len(complete()) >= n)
        return complete()[n - 1]

    async def was_sent(self, expected: Callable[[], bool]) -> None:
        """Wait for it; what LiveKit sends over several channels arrives in any order."""
        until = time.monotonic() + 10
        while not expected():
            assert time.monotonic() < until, f"{self}"
            await asyncio.sleep(0.02)


def agent_token(session: str) -> str:
    """As the scheduler mints it."""
    grants = api.VideoGrants(room_join=True, room=session, can_update_own_metadata=True)
    token = api.AccessToken(API_KEY, API_SECRET).with_identity(agent_identity(session)).with_grants(grants)
    return token.with_kind("agent").with_ttl(timedelta(minutes=10)).to_jwt()
