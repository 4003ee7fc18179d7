"""A supervisor with stand-in workers; a LiveKit server, the sandbox, and workers in a room with people."""

from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agent_runner.adapters.forkserver import ForkServer
from agent_runner.adapters.subreaper import become_subreaper
from agent_runner.link.messages import Turn
from chassis.nats import Bus
from tests.integration.agent_runner.node_process import STAND_IN, Driver, NodeProcess
from tests.integration.agent_runner.worker_stage import (
    Fork,
    Greet,
    New,
    Person,
    Preloaded,
    Sandbox,
    Worker,
    go,
    open_room,
    ready,
)
from tests.support.servers import LiveKitServer


@pytest.fixture
async def node(tmp_path: Path, nats_url: str) -> AsyncIterator[NodeProcess]:
    """A supervisor with stand-in workers."""
    node = NodeProcess(tmp_path / "node", nats_url, module=STAND_IN).start()
    yield node
    node.kill()


@pytest.fixture
async def drive(node: NodeProcess, bus: Bus) -> Driver:
    """Drives it as the scheduler does."""
    await node.ready()
    return Driver(bus, node)


@pytest.fixture
async def forkserver() -> AsyncIterator[ForkServer]:
    become_subreaper()
    forkserver = ForkServer(
        "tests.integration.agent_runner.stand_in_worker:run",
        "tests.integration.agent_runner.stand_in_preload",
        max_file_bytes=1 << 20,
    )
    await forkserver.start()
    yield forkserver
    await forkserver.close()


@pytest.fixture(scope="module")
def livekit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with LiveKitServer(tmp_path_factory.mktemp("livekit")) as server:
        yield server


@pytest.fixture(scope="module")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("sandbox")) as server:
        yield server


@pytest.fixture
async def sandbox(running_sandbox: Sandbox) -> Sandbox:
    await running_sandbox.control("reset", {})
    return running_sandbox


@pytest.fixture(scope="module")
def forks() -> Iterator[Preloaded]:
    forks = Preloaded()
    yield forks
    forks.close()


@pytest.fixture
async def fork(forks: Preloaded, sandbox: Sandbox) -> AsyncIterator[Fork]:
    workers: list[Worker] = []

    async def one(**changes: Any) -> Worker:
        workers.append(forks.fork(sandbox.config(**changes)))
        return await ready(workers[-1])

    yield one
    for worker in workers:
        worker.kill()


@pytest.fixture
async def session(livekit: LiveKitServer) -> str:
    session = f"session_{uuid4().hex}"
    await open_room(livekit, session)
    return session


@pytest.fixture
async def person(livekit: LiveKitServer) -> AsyncIterator[New]:
    people: list[Person] = []

    def one() -> Person:
        people.append(Person(livekit))
        return people[-1]

    yield one
    for each in people:
        await each.leave()


@pytest.fixture
def greet(fork: Fork, livekit: LiveKitServer, session: str, person: New) -> Greet:
    """Begin a call of this job, in a worker of this configuration: the caller has heard the opening line."""

    async def one(job: Mapping[str, Any] | None = None, **config: Any) -> tuple[Worker, Person]:
        worker = await fork(**config)
        caller = await person().enter(session)
        worker.send(go(livekit, session, **{"opening_line": "Hello.", **(job or {})}))
        await worker.heard(Turn)
        return worker, caller

    return one
