"""One whole system for all end-to-end tests: the stack that `greenroom up` runs, in a temporary folder."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import redis
from livekit import api
from livekit.protocol.room import ListRoomsRequest

from contracts.api import StartRequest
from greenroom_cli.call.place import DEMO_SCRIPT, Script, place_call
from greenroom_cli.call.report import CallReport
from greenroom_cli.settings import Settings
from greenroom_cli.stack import Stack, StackOptions, running_stack, system_environment
from tests.e2e.collector import Collector

# The recogniser hears some times of the day better than others: the sandbox tells always the same one.
CLOCK = "2026-11-24T16:00:00+00:00"
TOLD = {"four", "o'clock"}
PROMPT = "You are Max, the friendly voice of a theatre."
POLL_LIMIT_S = 60.0


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Where the system sends its traces."""
    with Collector() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> AsyncIterator[Stack]:
    """The running system, with the sandbox for all providers."""
    environment = {
        "PREWARM_POOL_SIZE": "2",
        "QUEUE_DEADLINE_S": "8",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "SANDBOX_CLOCK": CLOCK,
    }
    options = StackOptions(environment=system_environment() | environment)
    async with running_stack(tmp_path_factory.mktemp("stack"), options) as running:
        yield running
        refusals = [line for line in running.processes["nats"].log.read_text().splitlines() if "Violation" in line]
        assert not refusals, "a service's NATS user lacks a permission: see contracts/users.py"


@dataclass(frozen=True)
class DemoCall:
    """A finished demo call; `beside`: what ran beside it."""

    report: CallReport
    beside: tuple[str, bool]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def demo_call(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> DemoCall:
    """The demo call, beside a client that polls Redis as clients do."""
    request = StartRequest(user_name="Anna", system_prompt=PROMPT)
    script, heard = Script(request, DEMO_SCRIPT), tmp_path_factory.mktemp("call") / "heard.wav"
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(asyncio.to_thread(_poll_redis_as_clients_do, stack.environment["REDIS_URL"]))
        report = await place_call(Settings.of(stack.environment), script, heard, lambda *_: None)
    return DemoCall(report, polling.result())


def _poll_redis_as_clients_do(url: str, limit: int = 1) -> tuple[str, bool]:
    """The first live call, and whether it is longer than the limit of minutes."""
    until = time.monotonic() + POLL_LIMIT_S
    r: Any = redis.Redis.from_url(url, decode_responses=True)
    with r:
        while time.monotonic() < until:
            for id in r.smembers("session:ready"):
                if r.hget(f"session:{id}", "conversationStartTime"):
                    elapsed = time.time() - int(r.hget(f"session:{id}", "conversationStartTime"))
                    assert -1 < elapsed < 30, "the host's own clock wrote it"
                    return id, elapsed > limit * 60
            time.sleep(0.05)
    raise AssertionError("no call went live")


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


def words(text: str) -> list[str]:
    """A transcript as lower-case words without punctuation."""
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()
