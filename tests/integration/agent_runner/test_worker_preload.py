"""The forkserver with the real preload, and workers side by side."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from agent_runner.agent_config import AgentConfig
from agent_runner.link.messages import End, Stopped
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
        with suppress(FileNotFoundError):  # closed meanwhile
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
    assert "onnxruntime" in memory_map(forks.pid)
    assert LIBRARY in memory_map(forks.pid)
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


ONE_INFERENCE = """
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import numpy as np
from pathlib import Path
from agent_runner.worker.process import memory
from agent_runner.worker.providers import models
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20
assert memory.give_back_freed()
ours, before = models.SmartTurn(), resident_mb()
sound = np.sin(np.arange(80_000) / 20).astype(np.float32)
said = ours._predict_endpoint(sound)
print(resident_mb() - before)
assert said == LocalSmartTurnAnalyzerV3(sample_rate=16_000)._predict_endpoint(sound)
"""


def test_an_inference_leaves_no_memory_behind_and_says_what_pipecats_own_says() -> None:
    done = subprocess.run([sys.executable, "-c", ONE_INFERENCE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 12, "MB"
