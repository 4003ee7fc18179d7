"""LiveKit's room service, and the agents' tokens."""

# livekit.api re-exports its messages with a star, which the checker takes for private.
# pyright: reportPrivateImportUsage=false

import asyncio
import json
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Final, TypeVar

import aiohttp
from livekit import api

from contracts.ids import agent_identity
from contracts.rooms import deployment_in, room_metadata, room_shape
from scheduler.ports import Room, Unavailable

_DEADLINE_S: Final = 3.0
_TOKEN_MARGIN_S: Final = 60

T = TypeVar("T")


class LiveKitRooms:
    """Rooms over LiveKit's API; each call times out after 3 s."""

    def __init__(self, url: str, key: str, secret: str, *, session_ms: int, queue_s: float, deployment: str) -> None:
        """Prepare the client.

        Args:
            url: ws, wss, http or https.
            session_ms: The longest session; a token lives a minute longer.
            queue_s: QUEUE_DEADLINE_S, for the room's shape.
            deployment: Written into each room's metadata.
        """
        self._metadata = room_metadata(deployment)
        self._key = key
        self._secret = secret
        self._ttl = timedelta(milliseconds=session_ms) + timedelta(seconds=_TOKEN_MARGIN_S)
        self._shape = room_shape(queue_s)
        self._api = api.LiveKitAPI(url, key, secret, timeout=aiohttp.ClientTimeout(total=_DEADLINE_S), failover=False)

    async def close(self) -> None:
        await self._api.aclose()  # pyright: ignore[reportUnknownMemberType]

    async def list(self, names: Sequence[str] | None = None) -> "list[Room]":
        found = await _answered(self._api.room.list_rooms(api.ListRoomsRequest(names=list(names or ()))))
        return [
            Room(room.name, room.sid, room.creation_time * 1000, deployment_in(room.metadata)) for room in found.rooms
        ]

    async def create(self, name: str) -> None:
        await _answered(
            self._api.room.create_room(api.CreateRoomRequest(name=name, metadata=self._metadata, **self._shape))
        )

    async def delete(self, name: str) -> None:
        try:
            await _answered(self._api.room.delete_room(api.DeleteRoomRequest(room=name)))
        except _RoomMissing:
            return

    async def identities(self, name: str) -> dict[str, str]:
        """A missing room has no participants."""
        try:
            found = await _answered(self._api.room.list_participants(api.ListParticipantsRequest(room=name)))
        except _RoomMissing:
            return {}
        active = api.ParticipantInfo.State.ACTIVE  # JOINED has only a signalling connection, no media
        return {
            participant.identity: participant.sid for participant in found.participants if participant.state == active
        }

    def agent_token(self, session_id: str, epoch: int) -> str:
        grants = api.VideoGrants(
            room_join=True,
            room=session_id,
            can_publish=True,
            can_publish_sources=["microphone"],
            can_subscribe=True,
            can_publish_data=True,
            can_update_own_metadata=True,  # its state is an attribute
        )
        return (
            api.AccessToken(self._key, self._secret)
            .with_identity(agent_identity(session_id))
            .with_kind("agent")
            .with_ttl(self._ttl)
            .with_metadata(json.dumps({"session_id": session_id, "epoch": epoch}))
            .with_attributes({"greenroom.epoch": str(epoch), "lk.agent.state": "initializing"})
            .with_grants(grants)
            .to_jwt()
        )


class _RoomMissing(Exception):
    pass


async def _answered(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return await call
    except api.TwirpError as error:
        if error.code == api.TwirpErrorCode.NOT_FOUND:
            raise _RoomMissing from error
        raise Unavailable(f"LiveKit refused: {error.code} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unavailable(f"LiveKit does not answer: {type(error).__name__}") from error
