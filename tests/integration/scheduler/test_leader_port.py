"""What the scheduler's `PrejoinedRooms` and `Leadership` promise, by their fakes and by NATS."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from chassis.nats import Bus
from chassis.nats.kv.lease import Lease
from contracts.registry import PrejoinedRoom
from contracts.streams import LEADERS, PREJOINED
from scheduler.adapters.nats_prejoined_rooms import NatsPrejoinedRooms
from scheduler.domain.limits import Limits
from scheduler.domain.prejoining import ListedRoom
from scheduler.ports import Leadership, PrejoinedRooms
from tests.support.events import NOW
from tests.support.scheduler.fakes import FakePrejoinedRooms
from tests.support.scheduler.world import Leader, World
from tests.support.waiting import until


def room(session_id: str) -> PrejoinedRoom:
    return PrejoinedRoom(session_id=session_id, node_id="n1", joined_at=NOW, expires_at=NOW + timedelta(minutes=10))


@dataclass
class Watched:
    """The port, what its watch told, and what nodes and gateways do."""

    rooms: PrejoinedRooms
    offer: Callable[[str], Awaitable[None]]
    take: Callable[[str], Awaitable[None]]
    present: dict[str, ListedRoom] = field(default_factory=dict[str, ListedRoom])
    caught_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self) -> None:
        def changed(session_id: str, listed: ListedRoom | None) -> None:
            if listed is None:
                self.present.pop(session_id, None)
            else:
                self.present[session_id] = listed

        await self.rooms.watch(changed, self.caught_up)


def fake_rooms(_bus: Bus) -> Watched:
    rooms = FakePrejoinedRooms()

    async def offer(session_id: str) -> None:
        rooms.offer(room(session_id))

    async def take(session_id: str) -> None:
        rooms.take(session_id)

    return Watched(rooms, offer, take)


def nats_rooms(bus: Bus) -> Watched:
    bucket = bus.bucket(PREJOINED)

    async def offer(session_id: str) -> None:
        await bucket.put(session_id, room(session_id))

    async def take(session_id: str) -> None:
        await bucket.delete(session_id)

    return Watched(NatsPrejoinedRooms(bus), offer, take)


@pytest.fixture(params=[fake_rooms, nats_rooms], ids=["fake", "bucket"])
async def watched(bus: Bus, request: pytest.FixtureRequest) -> AsyncIterator[Watched]:
    """Watched over one room, which was offered before."""
    watched: Watched = request.param(bus)
    await watched.offer("session_1")
    task = asyncio.create_task(watched.watch())
    await watched.caught_up.wait()
    yield watched
    task.cancel()


async def test_present_rooms_are_known_before_the_watch_has_caught_up_and_changes_are_told(watched: Watched) -> None:
    assert [*watched.present] == ["session_1"]
    await watched.offer("session_2")
    await until(lambda: "session_2" in watched.present)
    await watched.take("session_1")
    await until(lambda: "session_1" not in watched.present)


async def test_a_room_is_retired_unless_its_key_has_changed_or_is_gone(watched: Watched) -> None:
    old = watched.present["session_1"]
    await watched.offer("session_1")
    await until(lambda: watched.present["session_1"].revision > old.revision)

    await watched.rooms.retire(old)
    await watched.offer("session_2")
    await until(lambda: "session_2" in watched.present)
    assert "session_1" in watched.present, "the node renewed it"

    await watched.rooms.retire(watched.present["session_1"])
    await until(lambda: "session_1" not in watched.present)
    await watched.rooms.retire(old)


async def fake_leaders(_bus: Bus) -> tuple[Leadership, Leadership]:
    world: Any = World(Limits())
    return Leader(world), Leader(world)


async def leases(bus: Bus) -> tuple[Leadership, Leadership]:
    """Two processes that hold the lease one after the other; the first one has not noticed."""
    bucket = bus.bucket(LEADERS)
    former, present = Lease(bucket, "role", "former", 60), Lease(bucket, "role", "present", 60)
    assert await former.acquire()
    entry = await bucket.get("role")
    assert entry is not None
    await bucket.delete("role", entry.revision)
    assert await present.acquire()
    return former, present


@pytest.mark.parametrize("make", [fake_leaders, leases], ids=["fake", "lease"])
async def test_only_the_leader_of_the_last_term_outbids_a_term_that_a_node_has_heard(bus: Bus, make: Any) -> None:
    former, present = await make(bus)
    assert present.term > former.term

    assert not await former.outbid(1_000)
    assert await present.outbid(1_000)
    assert present.term == 1_001
    assert await present.outbid(10)
    assert present.term == 1_001, "it never falls"
