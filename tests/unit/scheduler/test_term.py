"""A term in virtual time: it begins, or it gives the lease back."""

import asyncio
from typing import Any

import pytest
from scheduler.domain.clock import LogClock
from scheduler.domain.limits import Limits
from scheduler.handlers.agents import Agents
from scheduler.handlers.prejoiner import PrejoinPlan
from scheduler.handlers.term import Term
from scheduler.handlers.timekeeper import Timekeeper

from tests.unit.scheduler.world import Leader, World
from tests.unit.virtual_time import VirtualTimeLoop, run


class Silent:
    """A feed that never catches up: its consumer cannot be made."""

    def __init__(self) -> None:
        self.caught_up = asyncio.Event()

    def __aiter__(self) -> "Silent":
        return self

    async def __anext__(self) -> Any:
        await asyncio.Event().wait()


class Unreadable(World):
    """Every call is answered, but no consumer can be made: permissions, or a limit of JetStream."""

    def follow(self, *_: object) -> Silent:  # type: ignore[override]
        return Silent()

    def follow_rooms(self, *_: object) -> Silent:  # type: ignore[override]
        return Silent()

    async def watch(self, *_: object) -> None:  # type: ignore[override]
        await asyncio.Event().wait()


def test_a_leader_that_cannot_make_its_consumers_gives_the_lease_back() -> None:
    loop = VirtualTimeLoop()
    began = loop.time()

    async def lead() -> None:
        world: Any = Unreadable(Limits())
        leader = Leader(world)
        term = Term(
            limits=world.limits,
            session_log=world,
            slots=world,
            nodes=world,
            rooms=world,
            agents=Agents(world, world, "ws://x", leader),
            offered=world,
            queue=world,
            prejoin=PrejoinPlan(size=0, max_age_s=600, livekit_url="ws://x", mint=str, chance=lambda: 0.5),
            is_leading=lambda: True,
            timekeeper=Timekeeper(LogClock(), world, monotonic=loop.time),
            reconcile_s=15,
            deployment="here",
            stores=world,
            streams_look_s=15,
            calls_bytes=0,
        )
        with pytest.raises(ExceptionGroup, match="unhandled"):
            await term.run()
        assert not term.has_begun

    run(lead(), loop)

    assert 30 < loop.time() - began < 90
