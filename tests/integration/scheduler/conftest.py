"""A leading scheduler on a NATS of the test's own."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from chassis.nats import Bus
from scheduler.adapters.livekit_rooms import LiveKitRooms
from tests.integration.scheduler.stack import StandInNode
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer, Scheduler
from tests.support.waiting import until

Start = Callable[..., Scheduler]


async def leading(start: Start, livekit: LiveKitServer, **environment: str) -> Scheduler:
    """A scheduler that leads on this LiveKit and reconciles twice a second, unless `environment` says otherwise."""
    process = start(livekit.url, **{"RECONCILE_S": "0.5", **environment})
    await until(process.leads, what="it never led")
    return process


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


@pytest.fixture
async def rooms(livekit: LiveKitServer) -> AsyncIterator[LiveKitRooms]:
    adapter = LiveKitRooms(livekit.url, API_KEY, API_SECRET, session_ms=60_000, queue_s=30, deployment="here")
    yield adapter
    await adapter.close()
