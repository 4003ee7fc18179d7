"""The node's entry on a real NATS: one process has a name, and a killed one's is free after its lease."""

import asyncio
import time

import pytest

from agent_runner.adapters.nats_registry import NatsRegistry
from agent_runner.ports import NameTaken
from chassis.nats import Bus
from contracts.registry import NodeState
from contracts.streams import NODES
from tests.support.scheduler.builders import node
from tests.support.servers import NatsServer


def state(incarnation: str, *, busy: int = 0) -> NodeState:
    return node(incarnation=incarnation, busy=busy, pid=7)


async def shown(bus: Bus) -> NodeState | None:
    entry = await bus.bucket(NODES).get("n1")
    return None if entry is None else NodeState.model_validate_json(entry.data)


async def test_the_second_of_two_with_one_name_is_refused_and_changes_nothing(bus: Bus) -> None:
    first, second = NatsRegistry(bus, "a"), NatsRegistry(bus, "b")
    await first.wait_for_name("n1")
    assert await first.announce(state("a"))

    waiting = asyncio.create_task(second.wait_for_name("n1"))
    await asyncio.sleep(0.3)
    assert await first.announce(state("a", busy=1))
    with pytest.raises(NameTaken, match=r"another process runs as node n1 \(pid 7, started at 20"):
        await waiting

    with pytest.raises(NameTaken):
        await second.announce(state("b"))
    await second.delete("n1")
    left = await shown(bus)
    assert left is not None
    assert (left.incarnation, left.busy) == ("a", 1)


async def test_a_name_is_free_when_the_lease_of_a_killed_process_is_over(bus: Bus) -> None:
    await NatsRegistry(bus, "killed").announce(state("killed"))
    after, began = NatsRegistry(bus, "after"), time.monotonic()
    await after.wait_for_name("n1")
    assert 2 < time.monotonic() - began < (NODES.key_ttl_s or 0) + 2
    assert await after.announce(state("after"))


async def test_a_name_is_free_at_once_after_an_orderly_end(bus: Bus) -> None:
    first, second = NatsRegistry(bus, "a"), NatsRegistry(bus, "b")
    await first.announce(state("a"))
    await first.delete("n1")
    assert await shown(bus) is None

    await asyncio.wait_for(second.wait_for_name("n1"), 1)
    assert await second.announce(state("b"))


async def test_an_entry_that_nats_forgot_is_made_again(bus: Bus, nats_server: NatsServer) -> None:
    registry = NatsRegistry(bus, "a")
    await registry.announce(state("a"))
    nats_server.restart()
    async with asyncio.timeout(8):
        while not await registry.announce(state("a")):  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.1)
    assert await shown(bus) is not None


async def test_a_process_whose_name_was_given_to_another_while_it_was_away_learns_it(bus: Bus) -> None:
    away, other = NatsRegistry(bus, "away"), NatsRegistry(bus, "other")
    await away.announce(state("away"))
    await bus.bucket(NODES).delete("n1")  # its lease expires
    await other.announce(state("other"))

    with pytest.raises(NameTaken):
        await away.announce(state("away"))
    await away.delete("n1")
    left = await shown(bus)
    assert left is not None
    assert left.incarnation == "other"


async def test_a_silent_server_is_left_for_another(bus: Bus, nats_server: NatsServer) -> None:
    registry, back = NatsRegistry(bus, "a"), asyncio.Event()
    await registry.announce(state("a"))

    async def reconnected() -> None:
        back.set()

    bus.on_reconnect(reconnected)
    nats_server.freeze()
    began = time.monotonic()
    assert not await registry.announce(state("a"))
    noticed_s = time.monotonic() - began
    assert not bus.is_connected
    nats_server.thaw()
    await asyncio.wait_for(back.wait(), 8)
    assert noticed_s < 3, "well under the lease"
    assert await registry.announce(state("a"))
