"""A node whose entry may have lapsed, by a sleep or an outage: superseded jobs end before it says that it lives."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent_runner.domain.credit import CreditWarning
from agent_runner.domain.pool import PoolLimits
from agent_runner.domain.pulse import LOOK_S
from agent_runner.handlers import Commands
from agent_runner.supervisor.call import World
from agent_runner.supervisor.node import Node, NodeFacts
from agent_runner.supervisor.pool import Pool
from agent_runner.supervisor.presence import Presence
from agent_runner.supervisor.rooms import RoomFacts, Rooms
from contracts.commands import AssignJob, JobAccepted
from contracts.deadlines import NODE_LEASE_S, NODE_RENEW_S
from tests.unit.agent_runner.supervisor_fakes import (
    CALL_LIMITS,
    FakeCallLogs,
    FakeForks,
    FakeKeys,
    FakeOutboxes,
    FakeRegistry,
    FakeSessionLog,
)

SID = "session_1"
ALL_PROCESSES = 4  # supervisor, forkserver, the call's worker, and the one in its place


class Scene:
    """A node that runs one job, of epoch 1, and has just renewed its entry."""

    def __init__(self, folder: Path) -> None:
        self.now, changed = 100.0, asyncio.Event()
        self.forks, self.registry, self.log = FakeForks(), FakeRegistry(), FakeSessionLog()
        self.pool = Pool(
            self.forks,
            PoolLimits(slots=2, target=1, max_age_s=3600, start_s=20, silence_s=5),
            on_change=changed.set,
            clock=lambda: 100.0,
        )
        rooms = Rooms(
            RoomFacts("n1", None, silence_s=5),
            self.pool,
            FakeKeys(),
            on_change=changed.set,
        )
        limits = replace(CALL_LIMITS, start_s=1, warning=CreditWarning())
        world = World(
            "n1", folder, self.pool, FakeOutboxes(), self.log, FakeCallLogs(), limits=lambda _language: limits
        )
        facts = NodeFacts("n1", None, datetime.now(UTC), load=lambda: 0.0, forkservers=lambda: 1)
        self.node = Node(facts, world, rooms, changed)
        self.presence = Presence(self.node, self.registry, clock=lambda: self.now)
        announce = self.presence.announce_now
        self.commands = Commands(self.node, rooms, announce=announce, kill_s=0.1, on_drained=lambda: None)
        self._running = [asyncio.ensure_future(task) for task in (self.pool.run(), self.presence.announce())]

    async def begin(self) -> None:
        await self.until(lambda: self.forks.workers)
        self.forks.get_ready()
        job = AssignJob(
            session_id=SID,
            epoch=1,
            url="ws://x",
            token="t",
            user_name="Ann",
            user_id="Ann",
            voice_id="Ashley",
            opening_line="Hello Ann!",
            system_prompt="Be kind.",
            takeover=False,
        )
        assert isinstance(await self.commands.assign(job), JobAccepted)
        await self.until(lambda: self.registry.shown and self.registry.shown[-1].processes == ALL_PROCESSES)
        self.registry.shown.clear()  # nothing more comes for 5 s but what a test causes

    def watch(self) -> None:
        self._running.append(asyncio.ensure_future(self.presence.watch()))

    async def until(self, true: Callable[[], object]) -> None:
        async with asyncio.timeout(2):
            while not true():  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.005)

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

    def close(self) -> None:
        for task in self._running:
            task.cancel()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    await scene.begin()
    yield scene
    scene.close()


async def test_a_sleep_counts_from_the_last_renewal_and_ends_superseded_jobs_before_the_next(scene: Scene) -> None:
    scene.now += NODE_RENEW_S
    scene.watch()
    await asyncio.sleep(0)
    scene.log.epoch = 2
    scene.now += NODE_LEASE_S - NODE_RENEW_S

    await scene.until(lambda: scene.registry.shown)

    assert scene.shown_jobs == []


async def test_a_job_that_is_its_nodes_own_is_asked_about_once_when_the_machine_wakes_up(scene: Scene) -> None:
    scene.watch()
    await asyncio.sleep(0)
    scene.now += 3600

    await scene.until(lambda: scene.registry.shown)

    assert scene.shown_jobs == [SID]
    assert scene.log.asked == [SID]


async def test_after_a_sleep_within_the_lease_nobody_is_asked(scene: Scene) -> None:
    scene.watch()
    await asyncio.sleep(0)
    scene.now += NODE_LEASE_S - 0.1

    await asyncio.sleep(2 * LOOK_S)
    await scene.round()

    assert scene.log.asked == []


async def test_after_an_outage_superseded_jobs_end_before_the_node_is_back(scene: Scene) -> None:
    scene.registry.is_away = True
    scene.log.epoch = None
    scene.now += NODE_LEASE_S - 1
    await scene.round()
    scene.log.epoch = 2
    scene.now += 1
    assert scene.log.asked == []

    scene.registry.is_away = False
    await scene.round()

    assert scene.shown_jobs == []
    scene.now += NODE_LEASE_S - 1
    await scene.round()
    assert scene.log.asked == [SID], "the lease counts from the last renewal"


async def test_a_renewal_that_began_in_time_and_came_too_late_ends_superseded_jobs(scene: Scene) -> None:
    def slow() -> None:
        scene.now += 4
        scene.log.epoch = 2

    scene.now += NODE_LEASE_S - 1
    scene.registry.on_announce = slow
    scene.node.changed.set()

    await scene.until(lambda: len(scene.registry.shown) > 1)

    assert scene.shown_jobs == [SID]
    assert not scene.registry.shown[1].jobs
