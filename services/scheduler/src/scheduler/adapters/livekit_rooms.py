"""LiveKit's room service, and the agents' tokens."""

# livekit.api re-exports its messages with a star, which the checker takes for private.
# pyright: reportPrivateImportUsage=false

import asyncio
import json
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from math import ceil
from typing import Final, TypeVar

import aiohttp
from contracts.ids import MAX_PARTICIPANTS, agent_identity
from contracts.rooms import deployment_in, room_metadata
from livekit import api

from scheduler.ports import Room, Unavailable

_DEADLINE_S: Final = 3.0
_DEPARTURE_S: Final = 60
_TOKEN_MARGIN_S: Final = 60

T = TypeVar("T")


class LiveKitRooms:
    """Rooms over LiveKit's API; each call ends within 3 s."""

    def __init__(self, url: str, key: str, secret: str, *, session_ms: int, queue_s: float, deployment: str) -> None:
        """Take the server.

        Args:
            url: ws, wss, http or https.
            session_ms: The longest session; a token lives a minute longer.
            queue_s: A room waits empty for a minute longer than a session may queue.
            deployment: Whose the rooms are that are created here.
        """
        self._metadata = room_metadata(deployment)
        self._key = key
        self._secret = secret
        self._ttl = timedelta(milliseconds=session_ms) + timedelta(seconds=_TOKEN_MARGIN_S)
        self._empty_s = ceil(queue_s) + 60  # as the gateway rounds: it compares the rooms that it finds
        self._api = api.LiveKitAPI(url, key, secret, timeout=aiohttp.ClientTimeout(total=_DEADLINE_S), failover=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.aclose()  # pyright: ignore[reportUnknownMemberType]

    async def list(self, names: Sequence[str] | None = None) -> "list[Room]":
        """The rooms that exist, of these names or all."""
        found = await _answered(self._api.room.list_rooms(api.ListRoomsRequest(names=list(names or ()))))
        return [
            Room(room.name, room.sid, room.creation_time * 1000, deployment_in(room.metadata)) for room in found.rooms
        ]

    async def create(self, name: str) -> None:
        """Create the room with the shape that the gateway gives it."""
        await _answered(
            self._api.room.create_room(
                api.CreateRoomRequest(
                    name=name,
                    max_participants=MAX_PARTICIPANTS,
                    empty_timeout=self._empty_s,
                    departure_timeout=_DEPARTURE_S,
                    metadata=self._metadata,
                )
            )
        )

    async def delete(self, name: str) -> None:
        """Delete the room; one that is gone is fine."""
        try:
            await _answered(self._api.room.delete_room(api.DeleteRoomRequest(room=name)))
        except _Gone:
            return

    async def identities(self, name: str) -> dict[str, str]:
        """Whose media is up in the room; nobody's in one that does not exist."""
        try:
            found = await _answered(self._api.room.list_participants(api.ListParticipantsRequest(room=name)))
        except _Gone:
            return {}
        active = api.ParticipantInfo.State.ACTIVE  # JOINED is a signalling connection, which hears and says nothing
        return {
            participant.identity: participant.sid for participant in found.participants if participant.state == active
        }

    def agent_token(self, session_id: str, epoch: int) -> str:
        """Join this room under the agent's identity, publish a microphone, subscribe; no data, nothing else."""
        grants = api.VideoGrants(
            room_join=True,
            room=session_id,
            can_publish=True,
            can_publish_sources=["microphone"],
            can_subscribe=True,
            can_publish_data=False,
            can_update_own_metadata=False,
        )
        return (
            api.AccessToken(self._key, self._secret)
            .with_identity(agent_identity(session_id))
            .with_ttl(self._ttl)
            .with_metadata(json.dumps({"session_id": session_id, "epoch": epoch}))
            .with_attributes({"greenroom.epoch": str(epoch)})
            .with_grants(grants)
            .to_jwt()
        )


class _Gone(Exception):
    """There is no such room."""


async def _answered(call: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_DEADLINE_S):
            return await call
    except api.TwirpError as error:
        if error.code == api.TwirpErrorCode.NOT_FOUND:
            raise _Gone from error
        raise Unavailable(f"LiveKit refused: {error.code} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise Unavailable(f"LiveKit does not answer: {type(error).__name__}") from error
