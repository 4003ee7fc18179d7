"""The parts of a supervisor whose workers, servers and clock are the test's."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

from agent_runner.domain.call import CallLimits
from agent_runner.domain.pool import PoolLimits
from agent_runner.supervisor.call import World
from agent_runner.supervisor.pool import Pool
from agent_runner.supervisor.rooms import PrejoinedRooms, RoomFacts
from tests.support.agent_runner.fakes import (
    CALL_LIMITS,
    FakeCallLogs,
    FakeForks,
    FakeKeys,
    FakeOutboxes,
    FakeSessionLog,
)


class NodeScene:
    """A node's running pool, its rooms, and what its calls share; `now` is their clock."""

    def __init__(
        self, folder: Path = Path(), *, slots: int = 3, target: int = 1, limits: CallLimits = CALL_LIMITS
    ) -> None:
        self.now = 100.0
        self.forks, self.keys, self.outboxes = FakeForks(), FakeKeys(), FakeOutboxes()
        self.session_log, self.call_logs = FakeSessionLog(), FakeCallLogs()
        self.changed = asyncio.Event()
        pool_limits = PoolLimits(slots=slots, target=target, max_age_s=3600, start_s=20, silence_s=5)
        self.pool = Pool(self.forks, pool_limits, on_change=self.changed.set, clock=self.clock)
        facts = RoomFacts("n1", None, silence_s=5)
        self.rooms = PrejoinedRooms(facts, self.pool, self.keys, on_change=self.changed.set, clock=self.clock)
        self.world = World(
            "n1",
            folder,
            self.pool,
            self.outboxes,
            self.session_log,
            self.call_logs,
            limits=lambda _language: limits,
            clock=self.clock,
        )
        self.tasks = [asyncio.ensure_future(self.pool.run())]

    def clock(self) -> float:
        return self.now

    async def settle(self) -> None:
        """Let the other tasks run."""
        for _ in range(20):
            await asyncio.sleep(0)

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()

    @classmethod
    @asynccontextmanager
    async def with_two_ready(cls, *, slots: int) -> AsyncGenerator[Self]:
        """Two idle workers are ready."""
        scene = cls(slots=slots, target=2)
        await scene.settle()
        scene.forks.get_ready()
        yield scene
        scene.close()
