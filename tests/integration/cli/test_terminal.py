"""What the commands do to a terminal: any locale, a reader that has gone, a full disk, Ctrl-C from the first moment."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from greenroom_cli.stack import system_environment
from tests.integration.cli.running import GREENROOM, hear_ctrl_c
from tests.integration.cli.stand_in_gateway import SESSION, USER, stand_in_gateway

# Python takes UTF-8 for itself under LC_ALL=C unless it is told not to.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}
SMALL_PIPE = 4096  # bytes: a process whose imports are not read yet waits, so that a late signal finds it there
AGENT = ("--url", "ws://127.0.0.1:9", "--token", "t", "--session-id", SESSION)


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with stand_in_gateway() as server:
        yield server.url


def greenroom(
    words: Sequence[str], folder: Path, variables: Mapping[str, str], *, stdout: int = subprocess.PIPE
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [*GREENROOM, *words],
        cwd=folder,
        env={**system_environment(), **variables},
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("words", [("sessions",), ("bill", SESSION)])
def test_an_ascii_terminal_is_shown_escapes(words: Sequence[str], gateway: str, tmp_path: Path) -> None:
    result = greenroom(words, tmp_path, {"GREENROOM_URL": gateway, **ASCII})

    assert (result.returncode, result.stderr) == (0, b"")
    assert rb"Zo\xeb \u2713" in result.stdout


def test_a_utf_8_terminal_is_shown_the_name(gateway: str, tmp_path: Path) -> None:
    result = greenroom(("sessions",), tmp_path, {"GREENROOM_URL": gateway, "LC_ALL": "C.UTF-8"})

    assert USER in result.stdout.decode()


def test_json_is_the_same_document_in_any_locale(gateway: str, tmp_path: Path) -> None:
    words = ("sessions", "show", SESSION, "--json")

    in_ascii = greenroom(words, tmp_path, {"GREENROOM_URL": gateway, **ASCII})
    in_utf_8 = greenroom(words, tmp_path, {"GREENROOM_URL": gateway, "LC_ALL": "C.UTF-8"})

    assert in_ascii.returncode == 0
    assert json.loads(in_ascii.stdout) == json.loads(in_utf_8.stdout)
    assert json.loads(in_ascii.stdout)["userName"] == USER


def test_an_error_that_ascii_cannot_show_is_one_line(tmp_path: Path) -> None:
    # The argument's two bytes of UTF-8 are understood, and so is the refusal of what comes after them.
    result = greenroom(("call", "--user", "Zoë", "--voice", "ü/"), tmp_path, ASCII)

    assert result.returncode == 1
    assert result.stderr == rb"greenroom: --voice '\xfc/' is invalid: " + result.stderr.partition(b"invalid: ")[2]
    assert result.stderr.count(b"\n") == 1


def test_help_is_shown_in_ascii(tmp_path: Path) -> None:
    result = greenroom(("up", "--help"), tmp_path, ASCII)

    assert result.returncode == 0
    assert b"--json-file" in result.stdout


@pytest.mark.parametrize("words", [("sessions",), ("sessions", "--json"), ("--help",)])
def test_a_reader_that_has_gone_ends_a_command_quietly(words: Sequence[str], gateway: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        result = greenroom(words, tmp_path, {"GREENROOM_URL": gateway}, stdout=write)
    finally:
        os.close(write)

    assert result.returncode in (1, 128 + signal.SIGPIPE)
    assert result.stderr == b""


@pytest.mark.parametrize("words", [("sessions",), ("sessions", "--json")])
def test_output_that_finds_no_room_is_one_line(words: Sequence[str], gateway: str, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        result = greenroom(words, tmp_path, {"GREENROOM_URL": gateway}, stdout=full.fileno())

    assert result.returncode == 1
    assert result.stderr == b"greenroom: the output could not be written: No space left on device\n"


def test_without_a_stdout_the_command_works(gateway: str, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash is not None
    result = subprocess.run(
        [bash, "-c", 'exec "$@" >&-', "bash", *GREENROOM, "sessions"],
        cwd=tmp_path,
        env={**system_environment(), "GREENROOM_URL": gateway},
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("words", "moment", "line"),
    [
        (("nodes",), "typer", "greenroom: interrupted\n"),
        (("nodes",), "livekit", "greenroom: interrupted\n"),
        (("agent", *AGENT), "agent_runner.adapters", "agent: interrupted\n"),
    ],
)
def test_ctrl_c_during_the_imports_is_one_line(words: Sequence[str], moment: str, line: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*GREENROOM, *words],
        cwd=tmp_path,
        env={**system_environment(), "PYTHONPROFILEIMPORTTIME": "1"},  # a line on stderr when an import is done
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pipesize=SMALL_PIPE,
        text=True,
        preexec_fn=hear_ctrl_c,
    )
    try:
        assert process.stderr is not None
        assert any(said.rstrip().endswith(f" {moment}") for said in process.stderr)
        process.send_signal(signal.SIGINT)
        rest = [said for said in process.stderr if not said.startswith("import time:")]
        assert process.wait(20) == 130
        assert rest == [line]
    finally:
        process.kill()
        process.wait()


def test_a_containers_stop_during_the_imports_is_heard(tmp_path: Path) -> None:
    """A container's first process has no default action: it must have a handler. With one the exit code says so."""
    with subprocess.Popen(
        [*GREENROOM, "serve"],
        cwd=tmp_path,
        env={**system_environment(), "PYTHONPROFILEIMPORTTIME": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pipesize=SMALL_PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any(said.rstrip().endswith(" typer") for said in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.stderr.read()

    assert process.returncode == 128 + signal.SIGTERM


def test_ctrl_c_while_a_command_waits_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process = subprocess.Popen(
            [*GREENROOM, "nodes", "--url", f"http://127.0.0.1:{silent.getsockname()[1]}"],
            cwd=tmp_path,
            env=system_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=hear_ctrl_c,
        )
        try:
            silent.settimeout(20)
            with silent.accept()[0]:
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=20)[1] == "greenroom: interrupted\n"
            assert process.returncode == 130
        finally:
            process.kill()
            process.wait()
