"""A bus that answers and refuses: the node goes on as without a bus."""

from datetime import UTC, datetime, timedelta

import pytest

from agent_runner.adapters.nats_registry import NatsRegistry
from agent_runner.adapters.nats_room_keys import NatsRoomKeys
from agent_runner.ports import KeysUnavailable
from chassis.nats import Bus
from contracts.registry import PrejoinedRoom
from tests.support.scheduler.builders import node

NOW = datetime.now(UTC)
TOO_LONG = "x" * 600_000  # a value has 512 KiB at most


async def test_a_room_whose_key_is_refused_is_not_offered(bus: Bus) -> None:
    room = PrejoinedRoom(
        session_id="session_1",
        node_id="n1",
        region=TOO_LONG,
        joined_at=NOW,
        expires_at=NOW + timedelta(seconds=600),
    )
    keys = NatsRoomKeys(bus)

    with pytest.raises(KeysUnavailable):
        await keys.offer(room)
    revision = await keys.offer(room.model_copy(update={"region": None}))
    with pytest.raises(KeysUnavailable):
        await keys.renew(room, revision)


async def test_an_entry_that_is_refused_is_tried_again_later(bus: Bus) -> None:
    state = node(region=TOO_LONG)
    registry = NatsRegistry(bus, "a")

    assert not await registry.announce(state)
    assert await registry.announce(state.model_copy(update={"region": None}))
