"""A node whose entry may have lapsed, by a sleep or an outage: superseded jobs end before it says that it lives."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.domain.credit import CreditWarning
from agent_runner.domain.pulse import LOOK_S
from agent_runner.handlers import Commands
from agent_runner.supervisor.node import Node, NodeFacts
from agent_runner.supervisor.presence import Presence
from contracts.commands import JobAccepted
from contracts.deadlines import NODE_LEASE_S, NODE_RENEW_S
from tests.support.commands import assign_job
from tests.support.waiting import until
from tests.unit.agent_runner.node_scene import NodeScene
from tests.unit.agent_runner.supervisor_fakes import CALL_LIMITS, FakeRegistry

SID = "session_1"
ALL_PROCESSES = 4  # supervisor, forkserver, the call's worker, and the one in its place


class Scene(NodeScene):
    """A node that runs one job, of epoch 1, and has just renewed its entry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, slots=2, limits=replace(CALL_LIMITS, start_s=1, warning=CreditWarning()))
        self.boot_s, self.registry = 100.0, FakeRegistry()
        facts = NodeFacts("n1", None, datetime.now(UTC), load=lambda: 0.0, forkservers=lambda: 1)
        self.node = Node(facts, self.world, self.rooms, self.changed)
        self.presence = Presence(self.node, self.registry, clock=lambda: self.boot_s)
        announce = self.presence.announce_now
        self.commands = Commands(self.node, self.rooms, announce=announce, kill_s=0.1, on_drained=lambda: None)
        self.tasks.append(asyncio.ensure_future(self.presence.announce()))

    async def begin(self) -> None:
        await until(lambda: self.forks.workers)
        self.forks.get_ready()
        assert isinstance(await self.commands.assign(assign_job(SID)), JobAccepted)
        await until(lambda: self.registry.shown and self.registry.shown[-1].processes == ALL_PROCESSES)
        self.registry.shown.clear()  # nothing more comes for 5 s but what a test causes

    def watch(self) -> None:
        self.tasks.append(asyncio.ensure_future(self.presence.watch()))

    async def round(self) -> None:
        """`announce` retries."""
        tried = asyncio.Event()
        self.registry.on_announce = tried.set
        self.node.changed.set()
        async with asyncio.timeout(2):
            await tried.wait()

    @property
    def shown_jobs(self) -> list[str]:
        return [job.session_id for job in self.registry.shown[0].jobs]


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    await scene.begin()
    yield scene
    scene.close()


async def test_a_sleep_counts_from_the_last_renewal_and_ends_superseded_jobs_before_the_next(scene: Scene) -> None:
    scene.boot_s += NODE_RENEW_S
    scene.watch()
    await asyncio.sleep(0)
    scene.session_log.epoch = 2
    scene.boot_s += NODE_LEASE_S - NODE_RENEW_S

    await until(lambda: scene.registry.shown)

    assert scene.shown_jobs == []


async def test_a_job_that_is_its_nodes_own_is_asked_about_once_when_the_machine_wakes_up(scene: Scene) -> None:
    scene.watch()
    await asyncio.sleep(0)
    scene.boot_s += 3600

    await until(lambda: scene.registry.shown)

    assert scene.shown_jobs == [SID]
    assert scene.session_log.asked == [SID]


async def test_after_a_sleep_within_the_lease_nobody_is_asked(scene: Scene) -> None:
    scene.watch()
    await asyncio.sleep(0)
    scene.boot_s += NODE_LEASE_S - 0.1

    await asyncio.sleep(2 * LOOK_S)
    await scene.round()

    assert scene.session_log.asked == []


async def test_after_an_outage_superseded_jobs_end_before_the_node_is_back(scene: Scene) -> None:
    scene.registry.is_away = True
    scene.session_log.epoch = None
    scene.boot_s += NODE_LEASE_S - 1
    await scene.round()
    scene.session_log.epoch = 2
    scene.boot_s += 1
    assert scene.session_log.asked == []

    scene.registry.is_away = False
    await scene.round()

    assert scene.shown_jobs == []
    scene.boot_s += NODE_LEASE_S - 1
    await scene.round()
    assert scene.session_log.asked == [SID], "the lease counts from the last renewal"


async def test_a_renewal_that_began_in_time_and_came_too_late_ends_superseded_jobs(scene: Scene) -> None:
    def slow() -> None:
        scene.boot_s += 4
        scene.session_log.epoch = 2

    scene.boot_s += NODE_LEASE_S - 1
    scene.registry.on_announce = slow
    scene.node.changed.set()

    await until(lambda: len(scene.registry.shown) > 1)

    assert scene.shown_jobs == [SID]
    assert not scene.registry.shown[1].jobs
