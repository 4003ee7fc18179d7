"""Rooms joined ahead, with a real scheduler, NATS and LiveKit, and nodes that only say that they joined."""

import asyncio
import time
from datetime import timedelta

from chassis.nats import Bus
from contracts.commands import CommandFailed, PrejoinRoom, RoomPrejoined
from contracts.events import JobAssigned
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from contracts.subjects import node_command
from scheduler.adapters.livekit_rooms import LiveKitRooms
from tests.integration.scheduler.conftest import Start, leading
from tests.integration.scheduler.stack import StandInNode, now, request, wait_for
from tests.support.responding import respond
from tests.support.servers import LiveKitServer
from tests.support.waiting import until


class RoomyNode(StandInNode):
    """A node that takes every room it is offered, or none."""

    def __init__(self, bus: Bus, node_id: str) -> None:
        super().__init__(bus, node_id)
        self.refuses_rooms = False
        self.orders: list[PrejoinRoom] = []

    async def __aenter__(self) -> "RoomyNode":
        await super().__aenter__()
        prejoin = respond(self._bus, node_command(self.node_id, "prejoin"), self._prejoin)
        await prejoin.start()
        self._responders.append(prejoin)
        return self

    async def _prejoin(self, order: PrejoinRoom) -> RoomPrejoined | CommandFailed:
        self.orders.append(order)
        if self.refuses_rooms:
            return CommandFailed(code="full", detail="stand-in")
        self.rooms += (order.session_id,)
        await self.report()
        room = PrejoinedRoom(
            session_id=order.session_id,
            node_id=self.node_id,
            joined_at=now(),
            expires_at=now() + timedelta(seconds=order.max_age_s),
        )
        await self._bus.bucket(PREJOINED).create(order.session_id, room.model_dump_json().encode(), ttl_s=60)
        return RoomPrejoined(node_id=self.node_id, pid=7)


async def offered(bus: Bus, n: int) -> set[str]:
    """The rooms that wait, once there are so many."""
    end = time.monotonic() + 10
    while len(keys := set(await bus.bucket(PREJOINED).all())) != n:
        assert time.monotonic() < end, f"{keys}"
        await asyncio.sleep(0.02)
    return keys


async def take(bus: Bus, session_id: str) -> None:
    entry = await bus.bucket(PREJOINED).get(session_id)
    assert entry is not None
    await bus.bucket(PREJOINED).delete(session_id, entry.revision)


async def names(rooms: LiveKitRooms) -> set[str]:
    return {room.name for room in await rooms.list()}


async def gone(rooms: LiveKitRooms, session_id: str) -> None:
    """Wait until LiveKit has no such room; ten seconds are the gateway's."""
    end = time.monotonic() + 15
    while session_id in await names(rooms):
        assert time.monotonic() < end, f"{session_id} stayed"
        await asyncio.sleep(0.1)


async def test_a_room_goes_to_the_next_start_and_another_is_made(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms
) -> None:
    async with RoomyNode(bus, "n1") as first, RoomyNode(bus, "n2") as second:
        scheduler = await leading(start, livekit, PREJOIN_POOL_SIZE="2")
        waiting = await offered(bus, 2)
        assert await names(rooms) == waiting
        assert len(first.rooms) == len(second.rooms) == 1
        assert "scheduler_prejoined_rooms 2.0" in scheduler.metrics()
        mine = second.rooms[0]
        second.load = 0.9
        await second.report()

        await take(bus, mine)
        await request(bus, mine)

        assert (await wait_for(bus, mine, JobAssigned)).node_id == "n2"
        second.rooms = ()
        await second.report()
        assert mine not in await offered(bus, 2)
        assert len(first.orders) + len(second.orders) == 3


async def test_a_key_that_comes_back_counts_as_no_room_and_is_deleted(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms
) -> None:
    async with RoomyNode(bus, "n1") as node:
        await leading(start, livekit, PREJOIN_POOL_SIZE="1")
        (mine,) = await offered(bus, 1)
        entry = await bus.bucket(PREJOINED).get(mine)
        assert entry is not None
        await take(bus, mine)
        await request(bus, mine)
        await wait_for(bus, mine, JobAssigned)
        node.rooms = ()
        await node.report()
        await bus.bucket(PREJOINED).create(mine, entry.data, ttl_s=60)  # as after a SIGKILL of NATS

        async with asyncio.timeout(15):
            while mine in await bus.bucket(PREJOINED).all():  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert mine not in await offered(bus, 1), "another room is there"
        assert mine in await names(rooms), "the call goes on"


async def test_when_the_node_of_the_room_is_gone_the_session_starts_elsewhere(
    bus: Bus, start: Start, livekit: LiveKitServer
) -> None:
    async with RoomyNode(bus, "n1") as first, StandInNode(bus, "n2"):
        await leading(start, livekit, PREJOIN_POOL_SIZE="1")
        (mine,) = await offered(bus, 1)
        await take(bus, mine)
        await first.vanish()

        await request(bus, mine)

        assert (await wait_for(bus, mine, JobAssigned)).node_id == "n2"


async def test_a_room_that_was_taken_for_nothing_is_deleted_and_a_new_leader_takes_back_what_is_too_much(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms
) -> None:
    async with RoomyNode(bus, "n1") as node:
        former = await leading(start, livekit, PREJOIN_POOL_SIZE="2")
        taken, left = await offered(bus, 2)
        node.refuses_rooms = True
        await take(bus, taken)
        await gone(rooms, taken)
        assert left in await names(rooms)
        former.stop()

        await leading(start, livekit, PREJOIN_POOL_SIZE="0")

        await offered(bus, 0)
        await gone(rooms, left)


async def test_nodes_that_refuse_leave_no_room_behind(
    bus: Bus, start: Start, livekit: LiveKitServer, rooms: LiveKitRooms
) -> None:
    async with RoomyNode(bus, "n1") as node:
        node.refuses_rooms = True
        scheduler = await leading(start, livekit, PREJOIN_POOL_SIZE="1")
        await until(lambda: node.orders, what="it was never asked")
        node.refuses_rooms = False

        (waiting,) = await offered(bus, 1)
        assert 'scheduler_prejoins_total{result="failed"} 1.0' in scheduler.metrics()
        for order in node.orders[:-1]:
            await gone(rooms, order.session_id)
        assert await names(rooms) == {waiting}
