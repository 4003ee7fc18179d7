"""A leading scheduler on a NATS of the test's own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chassis.nats import Bus
from tests.integration.scheduler.stack import StandInNode
from tests.support.servers import LiveKitServer, Scheduler
from tests.support.waiting import until

Start = Callable[..., Scheduler]


@pytest.fixture
def start(tmp_path: Path, nats_url: str) -> Iterator[Start]:
    """Starts a scheduler with these variables; all of them are stopped at the end."""
    with ExitStack() as stack:
        count = 0

        def begin(livekit_url: str = "ws://127.0.0.1:9", **environment: str) -> Scheduler:
            nonlocal count
            count += 1
            process = Scheduler(tmp_path / f"scheduler{count}", nats_url, livekit_url, **environment)
            stack.enter_context(process)
            return process

        yield begin


@pytest.fixture
async def scheduler(bus: Bus, start: Start) -> Scheduler:
    """One that leads, without LiveKit."""
    process = start()
    await until(process.leads, what="it never led")
    return process


@pytest.fixture
async def node(bus: Bus) -> AsyncIterator[StandInNode]:
    """One healthy node with four slots."""
    async with StandInNode(bus, "n1") as node:
        yield node


@pytest.fixture
def livekit(tmp_path: Path) -> Iterator[LiveKitServer]:
    """A real LiveKit without webhooks."""
    with LiveKitServer(tmp_path / "livekit") as server:
        yield server
