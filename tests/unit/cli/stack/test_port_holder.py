"""The process that listens on a port, and the stack that it belongs to."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.port_holder import holder
from greenroom_cli.stack.ports import require_free
from greenroom_cli.stack.state import StateFolder, supervised_folder

SERVES = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """Port and pid of a child process, a module with a secret among its arguments."""
    (tmp_path / "service.py").write_text(SERVES)
    command = [sys.executable, "-m", "service", "--token", "hunter2"]
    with subprocess.Popen(command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline()), process.pid
        process.kill()


def test_a_taken_port_names_its_holder(taken_port: int) -> None:
    assert f"(pid {os.getpid()})" in str(holder(taken_port))


def test_a_port_that_no_visible_process_holds_is_another_ones() -> None:
    assert str(holder(1)) == "another process"


def test_a_descriptor_that_closes_meanwhile_hides_no_other_one(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    readlink, closed = os.readlink, min(Path("/proc/self/fd").iterdir(), key=lambda link: int(link.name)).name

    def reads(link: Path) -> str:
        if link.name == closed:
            raise FileNotFoundError(link)
        return readlink(link)

    monkeypatch.setattr(os, "readlink", reads)

    assert f"(pid {os.getpid()})" in str(holder(taken_port))


def test_a_holder_that_exits_while_it_is_read_is_a_process_without_a_name(
    taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_text = Path.read_text

    def reads(path: Path, *args: Any, **kwargs: Any) -> str:
        if path.name in ("comm", "status"):
            raise ProcessLookupError(path)
        return read_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "read_text", reads)

    assert str(holder(taken_port)) == f"a process (pid {os.getpid()})"


def test_what_python_runs_is_named_and_no_other_argument(served: tuple[int, int]) -> None:
    port, pid = served

    found = holder(port)

    assert str(found) == f"{Path(sys.executable).name} -m service (pid {pid})"
    assert (found.state, found.option) == (None, "")


def test_a_service_of_a_stack_is_told_with_the_stacks_folder(served: tuple[int, int], tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "its state")
    with state.locked():  # this process supervises the stack, and is the service's parent
        state.keys()

        found = holder(served[0])

        assert found.state == state.path
        assert f"the Greenroom stack in {state.path}" in str(found)
        assert found.option == f"--state '{state.path}'"
        with pytest.raises(CommandError) as refusal:
            require_free("gateway", served[0], "choose another with --port or PORT")
    assert refusal.value.fix == f"choose another with --port or PORT, or use that stack: {found.option}"


def test_a_lock_of_another_program_is_no_stack(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        lock.write(str(os.getpid()))
        lock.flush()

        assert supervised_folder(os.getpid()) is None
