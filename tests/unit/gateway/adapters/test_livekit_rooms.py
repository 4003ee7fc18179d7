"""Many starts at once, with a LiveKit that answers none of the calls beyond what it can carry."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit.protocol.models import Room
from livekit.protocol.room import CreateRoomRequest

from contracts.rooms import room_shape
from gateway.adapters.livekit_rooms import LiveKitRooms
from gateway.domain.rooms import MadeRoom
from tests.support.servers import API_KEY, API_SECRET

CARRIES, BURST = 40, 200


class Crowded:
    """LiveKit's CreateRoom and ListRooms."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.stuck = False

    async def create(self, request: web.Request) -> web.Response:
        wanted = CreateRoomRequest.FromString(await request.read())
        self.in_flight += 1
        try:
            await asyncio.sleep(0.005 if self.in_flight <= CARRIES and not self.stuck else 600)
        finally:
            self.in_flight -= 1
        room = Room(name=wanted.name, metadata=wanted.metadata, max_participants=wanted.max_participants)
        return web.Response(body=room.SerializeToString(), content_type="application/protobuf")

    async def list(self, _request: web.Request) -> web.Response:
        return web.Response(body=b"", content_type="application/protobuf")

    @asynccontextmanager
    async def rooms(self) -> AsyncIterator[LiveKitRooms]:
        app = web.Application()
        app.router.add_post("/twirp/livekit.RoomService/CreateRoom", self.create)
        app.router.add_post("/twirp/livekit.RoomService/ListRooms", self.list)
        async with TestServer(app, handler_cancellation=True) as server:
            rooms = LiveKitRooms(
                str(server.make_url("/")),
                API_KEY,
                API_SECRET,
                shape=room_shape(30),
                deadline_s=8,
                deployment="here",
            )
            await rooms.open()
            try:
                yield rooms
            finally:
                await rooms.close()


async def start(rooms: LiveKitRooms, number: int) -> MadeRoom:
    async with rooms.in_line():
        return await rooms.create(f"session_{number}")


async def test_a_burst_of_starts_gets_its_rooms_also_where_livekit_is_slow_with_many() -> None:
    async with Crowded().rooms() as rooms:
        made = await asyncio.gather(*(start(rooms, n) for n in range(BURST)))

    assert [room.is_new for room in made] == [True] * BURST


async def test_readiness_is_asked_beside_the_line() -> None:
    livekit = Crowded()
    livekit.stuck = True
    async with livekit.rooms() as rooms:
        line = [asyncio.create_task(start(rooms, n)) for n in range(BURST)]
        await asyncio.sleep(0.1)

        assert (await rooms.check()).ok

        for each in line:
            each.cancel()
        await asyncio.gather(*line, return_exceptions=True)
