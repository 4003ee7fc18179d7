"""The forkserver with the real preload, and workers side by side."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from agent_runner.agent_config import AgentConfig
from agent_runner.domain.link import End, Stopped

from tests.integration.agent_runner.worker_stage import Preloaded, Worker, ready

CONFIG = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i", "log_level": "WARNING"}
LIBRARY = "livekit_ffi"


@pytest.fixture
def forks() -> Iterator[Preloaded]:
    forks = Preloaded()
    yield forks
    forks.close()


@pytest.fixture
async def workers() -> AsyncIterator[list[Worker]]:
    workers: list[Worker] = []
    yield workers
    for worker in workers:
        worker.kill()


def memory_map(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def open_sockets(pid: int) -> set[str]:
    found: set[str] = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        target = os.readlink(f"/proc/{pid}/fd/{fd}")
        if target.startswith("socket:"):
            found.add(target)
    return found


async def test_the_preload_leaves_one_thread_and_workers_stand_beside_each_other(
    forks: Preloaded, workers: list[Worker]
) -> None:
    config = AgentConfig.model_validate(CONFIG)
    for _ in range(3):
        workers.append(forks.fork(config))
    for worker in workers:
        await ready(worker)

    assert os.listdir(f"/proc/{forks.pid}/task") == [str(forks.pid)]
    assert LIBRARY not in memory_map(forks.pid)
    assert "onnxruntime" in memory_map(forks.pid)
    assert all(LIBRARY in memory_map(worker.pid) for worker in workers)
    assert not open_sockets(workers[0].pid) & open_sockets(workers[1].pid)
    assert "Max data size" in (limits := Path(f"/proc/{workers[0].pid}/limits").read_text())
    assert str(600 << 20) in limits

    workers[0].send(End())
    assert (await workers[0].heard(Stopped)).cause == "ended"
    assert await workers[0].gone() == 0
    workers[1].hang_up()
    await workers[1].gone(2)
    assert workers[2].process.is_alive()


async def test_an_idle_worker_opens_no_connection(forks: Preloaded, workers: list[Worker]) -> None:
    workers.append(await ready(forks.fork(AgentConfig.model_validate(CONFIG))))
    inodes = {name.removeprefix("socket:[").removesuffix("]") for name in open_sockets(workers[0].pid)}
    network = Path(f"/proc/{workers[0].pid}/net/tcp").read_text() + Path(f"/proc/{workers[0].pid}/net/udp").read_text()
    assert not [line for line in network.splitlines()[1:] if line.split()[9] in inodes]
