"""One whole system for all end-to-end tests: the stack that `greenroom up` runs, in a temporary folder."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from livekit import api
from livekit.protocol.room import ListRoomsRequest

from greenroom_cli.settings import Settings
from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment
from tests.e2e.collector import Collector

# The recogniser hears some times of the day better than others: the sandbox tells always the same one.
CLOCK = "2026-11-24T16:00:00+00:00"
TOLD = {"four", "o'clock"}


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the system sends its traces."""
    with Collector() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[Stack]:
    """The running system, with the sandbox for all providers."""
    environment = {"PREWARM_POOL_SIZE": "2", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "SANDBOX_CLOCK": CLOCK}
    options = StackOptions(environment=system_environment() | environment)
    async with running_stack(tmp_path_factory.mktemp("stack"), options) as running:
        yield running
        refusals = [line for line in running.processes["nats"].log.read_text().splitlines() if "Violation" in line]
        assert not refusals, "a service's NATS user lacks a permission: see contracts/users.py"


@pytest.fixture
def settings(stack: Stack) -> Settings:
    """What a caller needs to know."""
    return Settings.of(stack.environment)


async def rooms(stack: Stack) -> set[str]:
    """The names of the rooms that LiveKit has."""
    environment = stack.environment
    async with api.LiveKitAPI(
        environment["LIVEKIT_URL"].replace("ws", "http", 1),
        environment["LIVEKIT_API_KEY"],
        environment["LIVEKIT_API_SECRET"],
    ) as livekit:
        listed = await livekit.room.list_rooms(ListRoomsRequest())
        return {room.name for room in listed.rooms}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def words(text: str) -> list[str]:
    """A transcript as lower-case words without punctuation."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


class Silent:
    """Steps without output: pytest's own output stays clean."""

    def done(self, step: str, seconds: float | None = None) -> None:
        del step, seconds
