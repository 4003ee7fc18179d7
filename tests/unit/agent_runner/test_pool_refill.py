"""When a worker that a call took is replaced: half a second later, or at once when no other is warm."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from agent_runner.domain.pool import REFILL_AFTER_S, PoolLimits
from agent_runner.handlers.pool import Pool

from tests.unit.agent_runner.supervisor_fakes import FakeForks


class Scene:
    """A pool of two warm workers, and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.forks = FakeForks()
        limits = PoolLimits(slots=9, target=2, max_age_s=3600, start_s=20, silence_s=5)
        self.pool = Pool(self.forks, limits, on_change=lambda: None, clock=lambda: self.now)
        self._running = asyncio.ensure_future(self.pool.run())

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def call(self) -> None:
        """A job takes a worker."""
        self.pool.claim()
        await self.pool.take(1)
        await self.settle()

    def close(self) -> None:
        self._running.cancel()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    await scene.settle()
    scene.forks.get_ready()
    yield scene
    scene.close()


async def test_a_call_that_starts_has_the_processors_to_itself(scene: Scene) -> None:
    await scene.call()
    for seconds, workers in ((REFILL_AFTER_S - 0.01, 2), (REFILL_AFTER_S, 3)):
        scene.now = 100 + seconds
        scene.pool.look(0.25)
        await scene.settle()
        assert len(scene.forks.workers) == workers


async def test_the_last_warm_worker_is_replaced_at_once(scene: Scene) -> None:
    await scene.call()
    await scene.call()
    assert len(scene.forks.workers) == 4
