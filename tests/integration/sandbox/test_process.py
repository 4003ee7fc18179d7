"""The process: it stops cleanly, bounds its sessions, and leaves nothing behind, however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.integration.sandbox.running import Sandbox, listening, next_of, send_audio
from tests.support.processes import is_alive


def all_gone(pids: list[int], within_s: float = 5.0) -> bool:
    deadline = time.monotonic() + within_s
    while any(is_alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def reaped(pids: list[int], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "the sandbox did not reap its recognisers"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_with_0_in_the_middle_of_a_session(tmp_path: Path, number: signal.Signals) -> None:
    with Sandbox(tmp_path) as sandbox:
        async with listening(sandbox) as socket:
            await next_of(socket, "Begin")
            children = sandbox.children()
            sandbox.process.send_signal(number)

            assert await asyncio.to_thread(sandbox.process.wait, 10) == 0
    assert len(children) >= 2
    assert all_gone(children)


async def test_killed_it_leaves_no_recogniser(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        async with listening(sandbox) as socket:
            await next_of(socket, "Begin")
            await send_audio(socket, os.urandom(64_000))
            children = sandbox.children()
            sandbox.process.kill()

            assert len(children) >= 2
            assert await asyncio.to_thread(all_gone, children)


async def test_sessions_have_a_bound(tmp_path: Path) -> None:
    with Sandbox(tmp_path, SANDBOX_MAX_STT_SESSIONS="1") as sandbox:
        async with listening(sandbox) as first, listening(sandbox) as second:
            error = await next_of(second, "Error")
            await next_of(first, "Begin")

    assert error["error_code"] == 3009


async def test_a_recogniser_that_dies_ends_its_session_and_is_replaced(tmp_path: Path) -> None:
    with Sandbox(tmp_path, SANDBOX_WARM_RECOGNISERS="0") as sandbox:
        async with listening(sandbox) as socket:
            await next_of(socket, "Begin")
            os.kill(sandbox.children()[-1], signal.SIGKILL)
            await send_audio(socket, bytes(3_200))
            assert (await next_of(socket, "Error"))["error_code"] == 3005
        async with listening(sandbox) as socket:
            await next_of(socket, "Begin")


@pytest.mark.parametrize("how", ["they", "they and what forks them"])
async def test_a_recogniser_that_died_while_it_waited_is_not_lent(tmp_path: Path, how: str) -> None:
    with Sandbox(tmp_path) as sandbox:
        forks, *recognisers = sandbox.children()
        assert len(recognisers) == 2
        waiting = recognisers if how == "they" else [forks, *recognisers]
        for pid in waiting:
            os.kill(pid, signal.SIGKILL)
        await asyncio.to_thread(reaped, waiting)
        async with listening(sandbox) as socket:
            await next_of(socket, "Begin")
            await send_audio(socket, bytes(3_200))
            await socket.send('{"type": "Terminate"}')
            await next_of(socket, "Termination")


def test_an_idle_connection_outlives_the_pool_of_its_client(tmp_path: Path) -> None:
    """httpx keeps an idle connection for 5 s: a server that closes at the same moment loses a request."""
    with Sandbox(tmp_path) as sandbox:
        connection = HTTPConnection("127.0.0.1", sandbox.port, timeout=10)
        for pause_s in (6, 0):
            connection.request("GET", "/control/faults")
            connection.getresponse().read()
            mine = connection.sock
            time.sleep(pause_s)
        assert connection.sock is mine
        connection.close()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with Sandbox(tmp_path) as sandbox:
        second = subprocess.run(
            [sys.executable, "-m", "sandbox", "--port", str(sandbox.port)], capture_output=True, text=True, timeout=30
        )

    assert second.returncode != 0
    assert "address already in use" in second.stderr


def test_a_wrong_setting_is_named() -> None:
    environment = {**os.environ, "SANDBOX_TIMEZONE": "Mars/Olympus"}
    refused = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", "0"], capture_output=True, text=True, timeout=30, env=environment
    )

    assert refused.returncode != 0
    assert "SANDBOX_TIMEZONE" in refused.stderr
