"""A caller that waits in its room before the agent is asked for, and notes when it came and when it was heard."""

import asyncio
import time
from collections.abc import Mapping
from typing import Self

import numpy as np
from livekit import api, rtc
from livekit.protocol.room import CreateRoomRequest, DeleteRoomRequest

from contracts.rooms import room_shape

# Decoded silence is near zero; the first frame with a sample beyond this holds speech. The h of "Hi Anna" peaks between
# 300 and 500, so that a higher bound would at times hear the line begin at its vowel, 30 ms later.
AUDIBLE = 200
DEADLINE_S = 60.0
# LiveKit negotiates with a client at most every 150 ms; a caller that waits has its own joining behind it.
SETTLED_S = 0.5


class WaitingCaller:
    """Creates the session's room as the gateway would, joins it, and listens.

    Args:
        environment: LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
        token: The caller's token for the room.
        has_room: The room is there already; it is not created.
    """

    def __init__(self, environment: Mapping[str, str], session_id: str, token: str, *, has_room: bool = False) -> None:
        self._environment, self._session_id, self._token = environment, session_id, token
        self._has_room = has_room
        self._room = rtc.Room()
        self._joined: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._heard: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._audible = asyncio.Condition()
        self._last_heard = 0.0
        self._listening: set[asyncio.Task[None]] = set()
        self._room.on("participant_connected", self._on_participant)
        self._room.on("track_subscribed", self._on_track)

    async def __aenter__(self) -> Self:
        if not self._has_room:
            await create_room(self._environment, self._session_id)
        await self._room.connect(self._environment["LIVEKIT_URL"], self._token)
        if not self._has_room:
            await asyncio.sleep(SETTLED_S)
        return self

    async def __aexit__(self, *_: object) -> None:
        for listening in self._listening:
            listening.cancel()
        await self._room.disconnect()

    async def joined(self) -> float:
        """Monotonic time at which the agent came into the room."""
        return await asyncio.wait_for(asyncio.shield(self._joined), DEADLINE_S)

    async def heard(self) -> float:
        """Monotonic time of the first audible frame."""
        return await asyncio.wait_for(asyncio.shield(self._heard), DEADLINE_S)

    async def heard_again(self) -> float:
        """Monotonic time of the next audible frame, from now on."""
        async with asyncio.timeout(DEADLINE_S), self._audible:
            await self._audible.wait()
        return self._last_heard

    async def silence(self, seconds: float) -> None:
        """Wait until the agent has been heard, and not for so long."""
        await self.heard()
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    async with asyncio.timeout(seconds), self._audible:
                        await self._audible.wait()
                except TimeoutError:
                    return

    def _on_participant(self, _participant: rtc.RemoteParticipant) -> None:
        if not self._joined.done():
            self._joined.set_result(time.monotonic())

    def _on_track(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._listening.add(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        async for event in rtc.AudioStream(track):
            if np.abs(np.frombuffer(event.frame.data, dtype=np.int16)).max(initial=0) > AUDIBLE:
                self._last_heard = time.monotonic()
                if not self._heard.done():
                    self._heard.set_result(self._last_heard)
                async with self._audible:
                    self._audible.notify_all()


def livekit(environment: Mapping[str, str]) -> api.LiveKitAPI:
    """LiveKit's server API."""
    url = environment["LIVEKIT_URL"].replace("ws", "http", 1)
    return api.LiveKitAPI(url, environment["LIVEKIT_API_KEY"], environment["LIVEKIT_API_SECRET"])


async def create_room(environment: Mapping[str, str], name: str) -> None:
    """Create a room with the gateway's settings, which replaces one with others; one that is there already stays."""
    async with livekit(environment) as server:
        await server.room.create_room(CreateRoomRequest(name=name, **room_shape(queue_deadline_s=30)))


async def delete_room(environment: Mapping[str, str], name: str) -> None:
    """Delete a room."""
    async with livekit(environment) as server:
        await server.room.delete_room(DeleteRoomRequest(room=name))


def token(environment: Mapping[str, str], room: str, identity: str) -> str:
    """A token to join one room."""
    made = api.AccessToken(environment["LIVEKIT_API_KEY"], environment["LIVEKIT_API_SECRET"]).with_identity(identity)
    return made.with_grants(api.VideoGrants(room_join=True, room=room)).to_jwt()
