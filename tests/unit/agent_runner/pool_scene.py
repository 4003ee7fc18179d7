"""A running pool whose workers and clock are the test's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Self

from agent_runner.domain.pool import PoolLimits
from agent_runner.supervisor.pool import Pool
from tests.unit.agent_runner.supervisor_fakes import FakeForks


class PoolScene:
    """A pool that holds two workers warm."""

    def __init__(self, *, slots: int) -> None:
        self.now = 100.0
        self.forks = FakeForks()
        limits = PoolLimits(slots=slots, target=2, max_age_s=3600, start_s=20, silence_s=5)
        self.pool = Pool(self.forks, limits, on_change=lambda: None, clock=lambda: self.now)

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @classmethod
    @asynccontextmanager
    async def opened(cls, *, slots: int) -> AsyncGenerator[Self]:
        """With the two workers ready."""
        scene = cls(slots=slots)
        running = asyncio.ensure_future(scene.pool.run())
        await scene.settle()
        scene.forks.get_ready()
        yield scene
        running.cancel()
