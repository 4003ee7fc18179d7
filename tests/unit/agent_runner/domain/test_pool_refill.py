"""When a worker that a call took is replaced: half a second later, or at once when no other is warm."""

from collections.abc import AsyncIterator

import pytest

from agent_runner.domain.pool import REFILL_AFTER_S
from tests.support.agent_runner.node_scene import NodeScene


class Scene(NodeScene):
    """A pool of two warm workers, and its clock."""

    async def call(self) -> None:
        """A job takes a worker."""
        self.pool.change_slots(jobs=1)
        await self.pool.take(1)
        await self.settle()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Scene.with_two_ready(slots=9) as scene:
        yield scene


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
