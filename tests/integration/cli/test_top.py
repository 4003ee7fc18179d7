"""`greenroom top` on a terminal: drawn, sorted by a key, and left at once whatever the gateway does."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from greenroom_cli.stack import system_environment
from tests.integration.cli.running import GREENROOM, hear_ctrl_c
from tests.integration.cli.stand_in_gateway import SESSION, StandIn

_STYLES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass
class Terminal:
    """A terminal in which `greenroom top` runs."""

    process: "subprocess.Popen[bytes]"
    end: int
    _written: bytes = b""

    @property
    def shown(self) -> str:
        return _STYLES.sub("", self._written.decode(errors="replace"))

    def type(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def until(self, text: str, limit_s: float = 30.0) -> None:
        """Wait until the terminal shows this since the last call."""
        until = time.monotonic() + limit_s
        while text not in self.shown:
            assert time.monotonic() < until, f"{text!r} is not in {self.shown[-2000:]!r}"
            self._read()
        self._written = b""

    def exit_code(self, limit_s: float = 10.0) -> int:
        """Wait for its exit, which comes before the gateway's answers time out (15 s)."""
        until = time.monotonic() + limit_s
        while self.process.poll() is None:
            assert time.monotonic() < until, f"it still runs: {self.shown[-2000:]!r}"
            self._read()  # a terminal that takes nothing more would block it
        return self.process.returncode

    def _read(self) -> None:
        try:
            self._written += os.read(self.end, 65536)
        except BlockingIOError:
            time.sleep(0.02)


@pytest.fixture
def terminal(gateway: StandIn, tmp_path: Path) -> Iterator[Terminal]:
    end, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 180, 0, 0))
    os.set_blocking(end, False)
    environment = system_environment() | {"GREENROOM_URL": gateway.url, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        [*GREENROOM, "top", "--every", "0.2"],
        cwd=tmp_path,
        env=environment,
        stdin=child,
        stdout=child,
        stderr=child,
        preexec_fn=hear_ctrl_c,
    )
    before = termios.tcgetattr(child)
    try:
        yield Terminal(process, end)
        assert termios.tcgetattr(child) == before, "the terminal is left as it was found"
    finally:
        process.kill()
        process.wait()
        os.close(child)
        os.close(end)


def test_it_draws_sorts_by_a_key_and_quits(terminal: Terminal) -> None:
    terminal.until(SESSION)
    terminal.type("s")
    terminal.until("sorted by latency")
    terminal.type("ss")  # typed at once, both count
    terminal.until("sorted by user")

    terminal.type("q")

    assert terminal.exit_code() == 0


def test_q_quits_at_once_while_the_gateway_does_not_answer(terminal: Terminal, gateway: StandIn) -> None:
    terminal.until(SESSION)
    gateway.answers.clear()
    time.sleep(0.5)  # by then it waits for an answer

    terminal.type("q")

    assert terminal.exit_code() == 0


def test_ctrl_c_leaves_without_an_error(terminal: Terminal) -> None:
    terminal.until(SESSION)

    terminal.process.send_signal(signal.SIGINT)

    assert terminal.exit_code() == 0
