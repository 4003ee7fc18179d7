"""What the scheduler's `Nodes` promises, by the world of its unit tests and by NATS with stand-in nodes."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from chassis.nats import Bus
from contracts.commands import EndJob, JobEnded
from scheduler.adapters.nats_nodes import NatsNodes
from scheduler.domain.limits import Limits
from scheduler.ports import NO_ANSWER, Nodes, NotAccepted
from tests.integration.scheduler.stack import StandInNode
from tests.support.commands import assign_job
from tests.support.events import SESSION
from tests.support.scheduler.world import World

OTHER = "session_other"
NOT_FOUND = JobEnded(found=False, served_ms=0, process_gone=True)


@dataclass
class Fleet:
    """The port; node `n1` may refuse with `full`, or be silent."""

    nodes: Nodes
    refuse: Callable[[], object]
    fall_silent: Callable[[], object]


@pytest.fixture
def world() -> Fleet:
    world = World(Limits())
    world.add_node("n1")
    nodes: Any = world
    return Fleet(nodes, lambda: world.refusing.add("n1"), lambda: world.silent.add("n1"))


@pytest.fixture
async def nats(bus: Bus) -> AsyncIterator[Fleet]:
    async with StandInNode(bus, "n1") as node:

        def fall_silent() -> None:
            node.silent = True
            fleet.nodes = NatsNodes(bus, assign_timeout_s=0.3, end_timeout_s=0.3)  # for an answer that never comes

        nodes = NatsNodes(bus, assign_timeout_s=3, end_timeout_s=3)
        fleet = Fleet(nodes, lambda: setattr(node, "refuses", "full"), fall_silent)
        yield fleet


@pytest.fixture(params=["world", "nats"])
def fleet(request: pytest.FixtureRequest) -> Fleet:
    return request.getfixturevalue(request.param)


async def test_a_node_takes_a_job_describes_it_and_ends_it(fleet: Fleet) -> None:
    nodes = fleet.nodes
    await nodes.assign("n1", assign_job())
    await nodes.assign("n1", assign_job())

    described = await nodes.describe("n1", SESSION, 1)
    assert described is not None
    assert described.user_name == assign_job().user_name
    assert await nodes.describe("n1", OTHER, 1) is None
    assert await nodes.end("n1", EndJob(session_id=OTHER, epoch=1, reason="rest")) == NOT_FOUND
    ended = await nodes.end("n1", EndJob(session_id=SESSION, epoch=1, reason="rest"))
    assert ended is not None
    assert (ended.found, ended.process_gone) == (True, True)
    assert await nodes.end("n1", EndJob(session_id=SESSION, epoch=1, reason="rest")) == NOT_FOUND


async def test_a_refusal_is_named(fleet: Fleet) -> None:
    fleet.refuse()
    with pytest.raises(NotAccepted) as refused:
        await fleet.nodes.assign("n1", assign_job())

    assert refused.value.reason == "full"


async def test_a_silent_node_takes_nothing_and_ends_nothing(fleet: Fleet) -> None:
    await fleet.nodes.assign("n1", assign_job())
    fleet.fall_silent()

    with pytest.raises(NotAccepted) as refused:
        await fleet.nodes.assign("n1", assign_job(OTHER))
    assert refused.value.reason == NO_ANSWER
    assert await fleet.nodes.end("n1", EndJob(session_id=SESSION, epoch=1, reason="rest")) is None
    assert not await fleet.nodes.answers("n1")
    assert not await fleet.nodes.answers("n2")


async def test_only_a_live_node_is_found(fleet: Fleet) -> None:
    found = await fleet.nodes.find("n1")
    assert found is not None
    assert found.node_id == "n1"
    assert await fleet.nodes.find("n2") is None
    assert await fleet.nodes.answers("n1")
