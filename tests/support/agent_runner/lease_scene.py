"""A node whose entry in NATS is renewed, with one call."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from agent_runner.domain.credit import CreditWarning
from agent_runner.handlers import Commands
from agent_runner.supervisor.node import Node, NodeFacts
from agent_runner.supervisor.presence import Presence
from contracts.commands import JobAccepted
from tests.support.agent_runner.fakes import CALL_LIMITS, FakeRegistry
from tests.support.agent_runner.node_scene import NodeScene
from tests.support.commands import assign_job
from tests.support.waiting import until

SID = "session_1"
ALL_PROCESSES = 4  # supervisor, forkserver, the call's worker, and the one in its place


class Scene(NodeScene):
    """A node that runs one job, of epoch 1, and has just renewed its entry."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, slots=2, limits=replace(CALL_LIMITS, start_s=1, warning=CreditWarning()))
        self.boot_s, self.registry = 100.0, FakeRegistry()
        facts = NodeFacts("n1", None, datetime.now(UTC), load=lambda: 0.0, forkservers=lambda: 1, version="1.2.3")
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
