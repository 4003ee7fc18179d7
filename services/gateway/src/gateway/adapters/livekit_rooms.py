"""`ports.Rooms` over LiveKit's HTTP API."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter
from typing import Final, TypeVar
from uuid import uuid4

import aiohttp
from google.protobuf.message import DecodeError
from livekit.api import ServerError, ServerErrorCode
from livekit.api.room_service import RoomService
from livekit.protocol.room import CreateRoomRequest, DeleteRoomRequest, ListParticipantsRequest, ListRoomsRequest

from chassis.livekit_probe import CLOCK_TOLERANCE_S, clock_ahead, skew_text
from chassis.logs import get_logger
from contracts.api import Dependency
from contracts.errors import CLOCK_SKEW, LIVEKIT_REFUSED, LIVEKIT_UNAVAILABLE, Refused
from contracts.rooms import RoomShape, room_metadata
from gateway.adapters.in_flight import InFlight
from gateway.domain.rooms import MadeRoom

_RETRY_AFTER_S = 2
_IN_FLIGHT: Final = 32  # at 100 ms each 320 a second, twice what a gateway accepts; the client has 100 connections

log = get_logger(__name__)

_Answer = TypeVar("_Answer")


class _RoomGone(Refused):
    """LiveKit has no room with this name."""


class LiveKitRooms:
    """Creates and deletes rooms, with a deadline for each call."""

    def __init__(
        self,
        url: str,
        api_key: str,
        api_secret: str,
        *,
        shape: RoomShape,
        deadline_s: float,
        deployment: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._url = url
        self._credentials = (api_key, api_secret)
        self._shape = shape
        self._deadline_s = deadline_s
        self._deployment = deployment
        self._clock = clock
        self._creating = InFlight(_IN_FLIGHT, deadline_s)
        self._session: aiohttp.ClientSession | None = None
        self._rooms: RoomService | None = None

    async def open(self) -> None:
        self._session = aiohttp.ClientSession()
        # Fail-over tries other regions of LiveKit Cloud and sleeps in between, longer than our deadline.
        self._rooms = RoomService(self._session, self._url, *self._credentials, failover=False)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def in_line(self) -> AsyncGenerator[None]:
        try:
            async with self._creating.in_line():
                yield
        except TimeoutError as error:
            raise self._unavailable(f"did not answer in {self._deadline_s:g} s") from error

    async def create(self, session_id: str) -> MadeRoom:
        # The mark tells a new room from an existing one: CreateRoom answers the same for both.
        mark = room_metadata(self._deployment, uuid4().hex)
        wanted = CreateRoomRequest(name=session_id, metadata=mark, **self._shape)
        room = await self._call(lambda rooms: rooms.create_room(wanted))
        return MadeRoom(
            is_new=room.metadata == mark,
            has_our_settings=all(getattr(room, name) == value for name, value in self._shape.items()),
            created_at=datetime.fromtimestamp(room.creation_time, UTC),
        )

    async def identities(self, session_id: str) -> frozenset[str]:
        try:
            found = await self._call(lambda rooms: rooms.list_participants(ListParticipantsRequest(room=session_id)))
        except _RoomGone:
            return frozenset()
        return frozenset(participant.identity for participant in found.participants)

    async def delete(self, session_id: str) -> None:
        with suppress(_RoomGone):
            await self._call(lambda rooms: rooms.delete_room(DeleteRoomRequest(room=session_id)))

    async def check(self) -> Dependency:
        began = perf_counter()
        try:
            await self._call(lambda rooms: rooms.list_rooms(ListRoomsRequest(names=["-"])))
        except Refused as refused:
            return Dependency(ok=False, detail=refused.detail)
        return Dependency(ok=True, latency_ms=round((perf_counter() - began) * 1000, 2))

    async def _call(self, call: Callable[[RoomService], Awaitable[_Answer]]) -> _Answer:
        if self._rooms is None:
            raise RuntimeError("LiveKitRooms is used before `open`")
        try:
            async with asyncio.timeout(self._deadline_s):  # the client's own calls override the session's timeout
                answer = await call(self._rooms)
        except ServerError as error:
            self._creating.answered()
            if error.status in (401, 403):
                raise await self._refusal(error) from error
            kind = _RoomGone if error.code == ServerErrorCode.NOT_FOUND else Refused
            raise self._unavailable(f"answered {error.status} {error.code}", kind) from error
        except TimeoutError as error:
            raise self._unavailable(f"did not answer in {self._deadline_s:g} s") from error
        except (aiohttp.ClientError, DecodeError, ValueError) as error:
            raise self._unavailable(f"cannot be reached: {type(error).__name__}") from error
        self._creating.answered()
        return answer

    def _unavailable(self, why: str, kind: type[Refused] = Refused) -> Refused:
        if kind is Refused:
            log.warning("livekit.unavailable", url=self._url, reason=why)  # only the log gets the address
        return kind(LIVEKIT_UNAVAILABLE, f"LiveKit {why}.", retry_after_s=_RETRY_AFTER_S)

    async def _refusal(self, error: ServerError) -> Refused:
        """Distinguish a wrong key from a wrong clock: LiveKit answers 401 to both."""
        if self._session is not None:
            ahead_s = await clock_ahead(self._session, self._url, deadline_s=self._deadline_s, now=self._clock)
            if ahead_s is not None and abs(ahead_s) >= CLOCK_TOLERANCE_S:
                return Refused(CLOCK_SKEW, f"LiveKit refuses our tokens: {skew_text(ahead_s)}.")
        return Refused(LIVEKIT_REFUSED, f"LiveKit refuses our API key ({error.status} {error.code}).")
