"""What `ports.RoomKeys` promises, by its fake and by the bucket `prejoined`."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.adapters.nats_room_keys import NatsRoomKeys
from agent_runner.ports import KeyGone, RoomKeys
from chassis.nats import Bus
from contracts.registry import PrejoinedRoom
from contracts.streams import PREJOINED
from tests.support.agent_runner.fakes import FakeKeys

NOW = datetime.now(UTC)
ROOM = PrejoinedRoom(session_id="session_1", node_id="n1", joined_at=NOW, expires_at=NOW + timedelta(minutes=10))

pytestmark = pytest.mark.parametrize("make", [lambda _bus: FakeKeys(), NatsRoomKeys], ids=["fake", "bucket"])
Make = Callable[[Bus], RoomKeys]


async def test_a_key_is_renewed_and_withdrawn_by_its_revision(bus: Bus, make: Make) -> None:
    keys = make(bus)
    first = await keys.offer(ROOM)
    second = await keys.renew(ROOM, first)
    assert second > first
    await keys.delete(ROOM.session_id, second)
    with pytest.raises(KeyGone):
        await keys.renew(ROOM, second)


async def test_a_claimed_room_is_neither_renewed_nor_withdrawn(bus: Bus, make: Make) -> None:
    keys = make(bus)
    revision = await keys.offer(ROOM)
    await claim(bus, keys)
    with pytest.raises(KeyGone):
        await keys.renew(ROOM, revision)
    with pytest.raises(KeyGone):
        await keys.delete(ROOM.session_id, revision)


async def test_a_lost_acknowledgement_of_a_renewal_does_not_lose_the_key(bus: Bus, make: Make) -> None:
    keys = make(bus)
    first = await keys.offer(ROOM)
    await keys.renew(ROOM, first)
    await keys.renew(ROOM, first)
    await keys.delete(ROOM.session_id, first)


async def test_a_room_is_offered_once(bus: Bus, make: Make) -> None:
    keys = make(bus)
    await keys.offer(ROOM)
    with pytest.raises(KeyGone):
        await keys.offer(ROOM)


async def claim(bus: Bus, keys: RoomKeys) -> None:
    """A start deletes the key."""
    if isinstance(keys, FakeKeys):
        del keys.offered[ROOM.session_id]
        return
    entry = await bus.bucket(PREJOINED).get(ROOM.session_id)
    assert entry is not None
    await bus.bucket(PREJOINED).delete(ROOM.session_id, entry.revision)
