"""The forkserver adapter with real processes."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_runner.adapters.forkserver import ForkServer
from agent_runner.adapters.subreaper import become_subreaper
from agent_runner.link.messages import Beat, End, Go, Ready, Stopped, ToSupervisor, Turn
from agent_runner.link.supervisor_end import ForkedWorker
from tests.support.waiting import until

HERE = "tests.integration.agent_runner"


class Ear:
    """Keeps what a worker said."""

    def __init__(self) -> None:
        self.heard: list[ToSupervisor] = []
        self.gone_at: float | None = None

    def on_message(self, message: ToSupervisor) -> None:
        self.heard.append(message)

    def on_gone(self) -> None:
        self.gone_at = time.monotonic()

    def has(self, kind: type) -> bool:
        return any(isinstance(m, kind) for m in self.heard)


def state_of(pid: int) -> str | None:
    """The process's state letter; None after it was reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture
async def forks() -> AsyncIterator[ForkServer]:
    become_subreaper()
    forks = ForkServer(f"{HERE}.stand_in_worker:run", f"{HERE}.stand_in_preload", max_file_bytes=1 << 20)
    await forks.start()
    yield forks
    await forks.close()


async def ready_worker(forks: ForkServer) -> tuple[ForkedWorker, Ear]:
    ear = Ear()
    worker = await forks.fork(ear)
    await until(lambda: ear.has(Ready))
    return worker, ear


async def end(*workers: ForkedWorker) -> None:
    for worker in workers:
        worker.kill()
    await until(lambda: all(w.is_gone for w in workers))


async def test_a_killed_worker_is_noticed_at_once_and_reaped(forks: ForkServer) -> None:
    worker, ear = await ready_worker(forks)
    killed = time.monotonic()
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: ear.gone_at)
    assert ear.gone_at is not None
    assert ear.gone_at - killed < 0.5
    await until(lambda: state_of(worker.pid) is None)


async def test_the_forkserver_is_the_only_process_beside_the_workers(forks: ForkServer) -> None:
    worker, _ = await ready_worker(forks)
    threads = Path("/proc/self/task").iterdir()
    children = [child for thread in threads for child in (thread / "children").read_text().split()]
    kin = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    assert [line for line in kin if "forkserver" in line]
    assert not [line for line in kin if "resource_tracker" in line]
    await end(worker)


async def test_the_last_words_come_before_the_end(forks: ForkServer) -> None:
    worker, ear = await ready_worker(forks)
    worker.send(End())
    await until(lambda: ear.gone_at)
    assert isinstance(ear.heard[-1], Stopped)


async def test_a_history_of_256_kib_arrives_beside_the_packet(forks: ForkServer, tmp_path: Path) -> None:
    worker, ear = await ready_worker(forks)
    messages = ",".join(['{"role":"user","content":"' + "x" * 1000 + '"}'] * 250)
    go = Go(
        session_id="session_1",
        epoch=2,
        url="ws://x",
        token="t",
        system_prompt="",
        voice_id="Ashley",
        caller_identity="c",
        agent_identity="a",
        bridge="Sorry",
        has_history=True,
        log_file=str(tmp_path / "log"),
    )
    worker.send(go, history=f"[{messages}]".encode())
    await until(lambda: ear.has(Turn))
    assert [m.heard_text for m in ear.heard if isinstance(m, Turn)] == ["Sorry after 250 messages"]
    await end(worker)


async def test_when_the_forkserver_dies_its_workers_go_on_and_a_new_one_forks(forks: ForkServer) -> None:
    worker, ear = await ready_worker(forks)
    old = parent_of(worker.pid)
    os.kill(old, signal.SIGKILL)
    await until(lambda: parent_of(worker.pid) == os.getpid())

    beats = len(ear.heard)
    await until(lambda: sum(isinstance(m, Beat) for m in ear.heard[beats:]) >= 2)
    assert ear.gone_at is None
    other, _ = await ready_worker(forks)
    assert parent_of(other.pid) not in (old, os.getpid())

    await end(worker, other)
    await until(lambda: state_of(worker.pid) is None and state_of(other.pid) is None)


async def test_descriptors_do_not_pile_up(forks: ForkServer) -> None:
    worker, _ = await ready_worker(forks)
    await end(worker)
    await until(lambda: state_of(worker.pid) is None)
    await asyncio.sleep(0.3)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        worker, _ = await ready_worker(forks)
        await end(worker)
    await asyncio.sleep(0.3)
    assert len(os.listdir("/proc/self/fd")) <= before
