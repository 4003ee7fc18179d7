"""A node whose entry may have lapsed, by a sleep or an outage: superseded jobs end before it says that it lives."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent_runner.domain.pulse import LOOK_S
from contracts.commands import DrainNode
from contracts.deadlines import NODE_LEASE_S, NODE_RENEW_S
from tests.support.agent_runner.lease_scene import SID, Scene
from tests.support.waiting import until


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
    scene.session_log.is_away = True
    scene.boot_s += NODE_LEASE_S - 1
    await scene.round()
    scene.session_log.epoch, scene.session_log.is_away = 2, False
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


async def test_a_draining_node_says_since_when_by_the_first_command_and_until_when_by_the_last(scene: Scene) -> None:
    before = scene.node.state()
    assert (before.drain_since, before.drain_until, before.version) == (None, None, "1.2.3")
    began = datetime.now(UTC)

    def within(limit: timedelta) -> bool:
        state = scene.node.state()
        return state.draining and state.drain_until is not None and state.drain_until < began + limit

    await scene.commands.drain(DrainNode(limit_s=1e300))
    await until(lambda: within(timedelta(days=366)))
    assert not within(timedelta(days=300))
    since = scene.node.state().drain_since
    assert since is not None
    assert began <= since <= datetime.now(UTC)
    await scene.commands.drain(DrainNode(limit_s=60))
    await until(lambda: within(timedelta(seconds=90)))
    assert scene.node.state().drain_since == since
