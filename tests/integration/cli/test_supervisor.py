"""Supervision, with small processes in place of services."""

import asyncio
import ctypes
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from greenroom_cli.stack import supervisor as supervision
from greenroom_cli.stack.keeper import session_members
from greenroom_cli.stack.process import ProcessFailed, ProcessSpec
from greenroom_cli.stack.readiness import serves
from greenroom_cli.stack.restarts import RestartPolicy
from greenroom_cli.stack.supervisor import Supervisor
from tests.integration.cli.supervised import ENVIRONMENT, Told, spec
from tests.support.processes import is_alive
from tests.support.waiting import until


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def supervisor(tmp_path: Path, told: Told) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path, told, RestartPolicy(first_s=0.05, longest_s=0.1, most=2))
    yield supervisor
    await supervisor.stop()


async def until_gone(pids: list[int], limit_s: float = 5.0) -> None:
    await until(lambda: not any(is_alive(pid) for pid in pids), limit_s, f"all of {pids} are gone")


async def test_stages_start_in_order_and_stop_in_reverse(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start([spec("first")])
    await supervisor.start([spec("second")])
    pids = [process.pid for process in supervisor.processes.values()]
    await supervisor.stop()

    assert told.events == [
        *("starting first", "ready first", "starting second", "ready second"),
        *("stopped second", "stopped first"),
    ]
    assert not any(is_alive(pid) for pid in pids)


async def test_a_process_that_is_slow_to_start_is_told_with_what_is_missing(
    supervisor: Supervisor, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom_cli.stack.process.FIRST_NOTICE_S", 0.0)

    await supervisor.start([spec("a")])

    assert [event.partition(":")[0] for event in told.events] == ["starting a", "waiting a", "ready a"]


async def test_a_process_that_dies_at_start_is_named_with_exit_code_and_last_log_lines(supervisor: Supervisor) -> None:
    with pytest.raises(ProcessFailed) as failure:
        await supervisor.start([spec("well"), spec("ill", "dies")])

    assert failure.value.problem == "ill exited with code 3"
    assert failure.value.tail == ["the disk is on fire"]


async def test_a_missing_program_is_an_error_that_names_it(supervisor: Supervisor) -> None:
    absent = ProcessSpec("absent", ("/nonexistent/program",), ENVIRONMENT, serves("http://127.0.0.1:9/"))

    with pytest.raises(ProcessFailed) as failure:
        await supervisor.start([absent])

    assert failure.value.tail == ["cannot run /nonexistent/program: No such file or directory"]


async def test_a_process_that_is_never_ready_is_given_up_at_its_deadline_and_stopped(supervisor: Supervisor) -> None:
    began = time.monotonic()
    with pytest.raises(ProcessFailed, match=r"was not ready within 0\.5 s \(no answer from http"):
        await supervisor.start([spec("deaf", "deaf", ready_timeout_s=0.5)])

    assert time.monotonic() - began < 4
    assert not supervisor.processes["deaf"].is_running


async def test_a_process_that_dies_later_is_restarted_and_said_so(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start([spec("service")])
    service = supervisor.processes["service"]
    watching = asyncio.create_task(supervisor.supervise())
    before = service.pid

    service.signal(signal.SIGKILL)
    async with asyncio.timeout(10):
        await told.back_again.wait()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)

    assert told.events == ["starting service", "ready service", "died service", "restarting service", "ready service"]
    assert service.pid != before


async def test_a_process_that_keeps_dying_ends_supervision_with_its_error(supervisor: Supervisor, told: Told) -> None:
    await supervisor.start([spec("fragile", "fragile")])

    async with asyncio.timeout(20):
        with pytest.raises(ProcessFailed, match="fragile was killed by SIGKILL"):
            await supervisor.supervise()

    assert told.events.count("restarting fragile") == 2


async def test_a_process_that_is_never_ready_again_is_given_up_however_long_that_takes(
    tmp_path: Path, told: Told
) -> None:
    supervisor = Supervisor(tmp_path, told, RestartPolicy(first_s=0.05, most=1, window_s=0.3))
    once = spec("once", "once", ready_timeout_s=3)
    await supervisor.start([replace(once, command=(*once.command, str(tmp_path / "ran")))])
    supervising = asyncio.create_task(supervisor.supervise())
    try:
        supervisor.processes["once"].signal(signal.SIGKILL)
        async with asyncio.timeout(20):
            with pytest.raises(ProcessFailed, match="once was not ready within 3 s"):
                await supervising
    finally:
        await supervisor.stop()


async def test_while_one_process_drains_the_others_are_restarted_and_it_is_not(
    supervisor: Supervisor, told: Told
) -> None:
    await supervisor.start([spec("service"), spec("node", "slow", stop_timeout_s=4)])
    service, node = supervisor.processes.values()
    supervising = asyncio.create_task(supervisor.supervise())
    draining = asyncio.create_task(supervisor.retire([node]))

    service.signal(signal.SIGKILL)
    async with asyncio.timeout(3.5):
        await told.back_again.wait()
    assert not draining.done()
    await draining
    await asyncio.sleep(0.3)

    assert service.is_running
    assert not node.is_running
    assert "restarting node" not in told.events
    assert not supervising.done()
    supervising.cancel()
    await asyncio.gather(supervising, return_exceptions=True)


async def test_a_process_that_ignores_sigterm_is_killed_at_its_deadline(supervisor: Supervisor) -> None:
    await supervisor.start([spec("slow", "slow", stop_timeout_s=0.3)])
    pid = supervisor.processes["slow"].pid

    began = time.monotonic()
    await supervisor.stop()

    assert 0.3 <= time.monotonic() - began < 3
    assert not is_alive(pid)


async def test_a_frozen_process_is_stopped_too(supervisor: Supervisor) -> None:
    await supervisor.start([spec("frozen")])
    process = supervisor.processes["frozen"]
    process.signal(signal.SIGSTOP)

    await process.stop()

    assert not process.is_running


async def test_grandchildren_go_with_their_process(supervisor: Supervisor) -> None:
    await supervisor.start([spec("parent", "child")])
    parent = supervisor.processes["parent"]
    members = session_members(parent.pid)
    assert len(members) == 2

    parent.signal(signal.SIGKILL)
    await parent.wait()

    await until_gone(members)


async def test_a_test_may_stop_and_start_one_process(supervisor: Supervisor) -> None:
    await supervisor.start([spec("service")])
    service = supervisor.processes["service"]
    before = service.pid

    await service.stop()
    assert not service.is_running
    await service.start()

    assert service.pid != before


KILLED_PARENT = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.integration.cli.supervised import Told, spec
from greenroom_cli.stack.supervisor import Supervisor

async def main():
    supervisor = Supervisor(Path({logs!r}), Told())
    await supervisor.start([spec("one"), spec("two", "child")])
    print(*[process.pid for process in supervisor.processes.values()], flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def killed_parent(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    code = KILLED_PARENT.format(root=str(Path(__file__).parents[3]), logs=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def test_nothing_stays_when_the_supervisor_itself_is_killed(
    killed_parent: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert killed_parent.stdout is not None
    async with asyncio.timeout(15):
        pids = [int(pid) for pid in (await asyncio.to_thread(killed_parent.stdout.readline)).split()]
    grandchild = re.search(r"grandchild (\d+)", (tmp_path / "two.log").read_text())
    assert grandchild is not None
    everything = [*pids, int(grandchild[1])]
    assert len(everything) == 3
    assert all(is_alive(pid) for pid in everything)

    killed_parent.kill()

    await until_gone(everything)


async def test_a_process_that_runs_and_does_not_work_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "LOOK_S", 0.05)
    reasons = iter([None, "it is stuck"])
    told = Told()
    supervisor = Supervisor(tmp_path, told, RestartPolicy(first_s=0.05))
    await supervisor.start([replace(spec("a"), restarts=True, why_restart=lambda: next(reasons, None))])
    first = supervisor.processes["a"].pid
    supervising = asyncio.create_task(supervisor.supervise())
    try:
        async with asyncio.timeout(10):
            await told.back_again.wait()
        assert supervisor.processes["a"].pid != first
        assert "unwell a: it is stuck" in told.events
    finally:
        supervising.cancel()
        await asyncio.gather(supervising, return_exceptions=True)
        await supervisor.stop()


PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture
def first_process() -> Iterator[None]:
    """Make this process the parent of orphans, as a container's first process is."""
    libc = ctypes.CDLL(None)
    assert libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.mark.usefixtures("first_process")
async def test_a_containers_first_process_leaves_no_zombie_of_a_killed_part(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    await supervisor.start([spec("parent", "child")])
    grandchild = re.search(r"grandchild (\d+)", (tmp_path / "parent.log").read_text())
    assert grandchild is not None

    await supervisor.stop()

    assert not Path(f"/proc/{grandchild[1]}").exists(), "a zombie keeps its entry"


REPEATED = """
import asyncio
from greenroom_cli.runner import Stopped, run

async def command():
    hurried = asyncio.Event()
    hurries.append(hurried.set)
    try:
        print("runs", flush=True)
        await asyncio.sleep(60)
    finally:
        print("stops", flush=True)
        async with asyncio.timeout(20):
            await hurried.wait()
        print("hurried", flush=True)

hurries = []
try:
    run(command(), on_repeated_signal=lambda: hurries[0]())
except Stopped as stopped:
    print(stopped.exit_code)
"""


def test_a_repeated_signal_hurries_the_clean_up_and_does_not_interrupt_it() -> None:
    with subprocess.Popen([sys.executable, "-c", REPEATED], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in ("runs", "stops"):
            assert process.stdout.readline() == f"{line}\n"
            process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    assert rest.split() == ["hurried", str(128 + signal.SIGTERM)]
