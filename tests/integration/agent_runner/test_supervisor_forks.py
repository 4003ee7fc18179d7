"""The forkserver adapter with real processes."""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent_runner.adapters.forkserver import ForkServer
from agent_runner.link.messages import Beat, End, Ready, Stopped, Turn
from agent_runner.link.supervisor_end import ForkedWorker
from tests.support.agent_runner.fakes import Ear
from tests.support.commands import go
from tests.support.processes import command_of, parent_of, state_of
from tests.support.waiting import until


def children() -> set[str]:
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that ends meanwhile
            found.update((task / "children").read_text().split())
    return found


@pytest.fixture
def others() -> set[str]:
    """This process's children before a forkserver starts: another test's library may have left one."""
    return children()


async def ready_worker(forkserver: ForkServer) -> tuple[ForkedWorker, Ear]:
    ear = Ear()
    worker = await forkserver.fork(ear)
    await until(lambda: ear.has(Ready))
    return worker, ear


async def end(*workers: ForkedWorker) -> None:
    for worker in workers:
        worker.kill()
    await until(lambda: all(w.is_gone for w in workers))


async def test_a_killed_worker_is_noticed_at_once_and_reaped(forkserver: ForkServer) -> None:
    worker, ear = await ready_worker(forkserver)
    killed = time.monotonic()
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: ear.gone_at)
    assert ear.gone_at[0] - killed < 0.9, "by its exit: its closed socket alone would take 1 s"
    await until(lambda: state_of(worker.pid) is None)


async def test_the_forkserver_is_the_only_process_beside_the_workers(others: set[str], forkserver: ForkServer) -> None:
    worker, _ = await ready_worker(forkserver)
    commands = [command_of(int(child)) for child in children() - others]
    assert ["forkserver" in command for command in commands] == [True]
    await end(worker)


async def test_the_last_words_come_before_the_end(forkserver: ForkServer) -> None:
    worker, ear = await ready_worker(forkserver)
    worker.send(End())
    await until(lambda: ear.gone_at)
    assert isinstance(ear.heard[-1], Stopped)


async def test_a_history_of_256_kib_arrives_beside_the_packet(forkserver: ForkServer, tmp_path: Path) -> None:
    worker, ear = await ready_worker(forkserver)
    messages = ",".join(['{"role":"user","content":"' + "x" * 1000 + '"}'] * 250)
    job = go(epoch=2, bridge="Sorry", has_history=True, log_file=str(tmp_path / "log"))
    worker.send(job, history=f"[{messages}]".encode())
    await until(lambda: ear.has(Turn))
    assert [m.heard_text for m in ear.heard if isinstance(m, Turn)] == ["Sorry after 250 messages"]
    await end(worker)


async def test_when_the_forkserver_dies_its_workers_go_on_and_a_new_one_forks(forkserver: ForkServer) -> None:
    worker, ear = await ready_worker(forkserver)
    old = parent_of(worker.pid)
    os.kill(old, signal.SIGKILL)
    await until(lambda: parent_of(worker.pid) == os.getpid())

    beats = len(ear.heard)
    await until(lambda: sum(isinstance(m, Beat) for m in ear.heard[beats:]) >= 2)
    assert not ear.gone_at
    other, _ = await ready_worker(forkserver)
    assert parent_of(other.pid) not in (old, os.getpid())

    await end(worker, other)
    await until(lambda: state_of(worker.pid) is None and state_of(other.pid) is None)


async def test_descriptors_do_not_pile_up(forkserver: ForkServer) -> None:
    worker, _ = await ready_worker(forkserver)
    await end(worker)
    await until(lambda: state_of(worker.pid) is None)
    await asyncio.sleep(0.3)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        worker, _ = await ready_worker(forkserver)
        await end(worker)
    await asyncio.sleep(0.3)
    assert len(os.listdir("/proc/self/fd")) <= before
