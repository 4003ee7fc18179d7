"""A service as a process: how it starts, what it says when it cannot, and how it stops."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from chassis.nats import Bus
from contracts.commands import END, EndJob, JobEnded
from tests.support.servers import NatsServer, free_port
from tests.support.waiting import until

SCRIPT = Path(__file__).with_name("service.py")
HERE = END.at("n1")
JOB = EndJob(session_id="session_1", epoch=1, reason="test")


class Process:
    """The service, its two outputs and its health port."""

    def __init__(self, process: asyncio.subprocess.Process, health: str) -> None:
        self.process = process
        self.health = health
        self.said: list[str] = []
        self.lines: list[str] = []
        assert process.stdout is not None
        assert process.stderr is not None
        self._readers = [
            asyncio.create_task(self._read(process.stdout, self.said)),
            asyncio.create_task(self._read(process.stderr, self.lines)),
        ]

    async def _read(self, stream: asyncio.StreamReader, into: list[str]) -> None:
        async for line in stream:
            into.append(line.decode().rstrip())

    async def ended(self, limit_s: float = 15) -> int:
        async with asyncio.timeout(limit_s):
            code = await self.process.wait()
            await asyncio.gather(*self._readers)
        return code

    @property
    def spoken(self) -> list[str]:
        """What is on stderr beside the log."""
        return [line for line in self.lines if not line.startswith("{")]

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]


Begin = Callable[..., Coroutine[Any, Any, Process]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    processes: list[Process] = []

    async def start(url: str, **environment: str) -> Process:
        port = environment.setdefault("HEALTH_PORT", str(free_port()))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            env=os.environ | {"NATS_URL": url, "START_TIMEOUT_S": "2", "DRAIN_TIMEOUT_S": "4"} | environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        processes.append(Process(process, f"http://127.0.0.1:{port}"))
        return processes[-1]

    yield start
    for each in processes:
        if each.process.returncode is None:
            each.process.kill()
        await each.ended()


async def test_it_serves_and_sigterm_finishes_what_is_in_hand(begin: Begin, nats_url: str, bus: Bus) -> None:
    service = await begin(nats_url)
    await until(lambda: "started" in service.said)
    async with httpx.AsyncClient(base_url=service.health) as client:
        alive = await client.get("/health")
        ready = await client.get("/ready")
        metrics = await client.get("/metrics")
    assert (alive.status_code, alive.json()["service"]) == (200, "node")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "reasons": {}})
    assert "process_cpu_seconds_total" in metrics.text

    asking = asyncio.create_task(bus.request(HERE, JOB, timeout_s=5))
    await until(lambda: "begun session_1" in service.said)
    service.process.send_signal(signal.SIGTERM)

    assert await service.ended() == 0
    assert service.said[-3:] == ["stopped second", "stopped first", "done session_1"]
    assert isinstance(await asking, JobEnded)
    assert service.spoken == []
    assert [line["event"] for line in service.log][-1] == "service.stopped"


async def test_sigint_stops_it_too(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url)
    await until(lambda: "started" in service.said)
    service.process.send_signal(signal.SIGINT)
    assert await service.ended() == 0


async def test_while_nats_is_away_it_lives_but_is_not_ready(begin: Begin, nats_server: NatsServer) -> None:
    service = await begin(nats_server.url)
    await until(lambda: "started" in service.said)
    nats_server.kill9()
    async with httpx.AsyncClient(base_url=service.health) as client:

        async def not_ready() -> bool:
            answer = await client.get("/ready")
            return answer.status_code == 503 and "no connection" in answer.json()["reasons"]["nats"]

        await until(not_ready)
        assert (await client.get("/health")).status_code == 200

        nats_server.start()

        async def ready() -> bool:
            return (await client.get("/ready")).status_code == 200

        await until(ready)
        nats_server.kill9()
    service.process.send_signal(signal.SIGTERM)
    assert await service.ended() == 0


async def test_an_unreachable_nats_is_one_line_and_exit_1(begin: Begin) -> None:
    service = await begin(f"nats://bob:hunter2@127.0.0.1:{free_port()}")

    assert await service.ended() == 1
    (line,) = service.spoken
    assert line.startswith("node: NATS at nats://127.0.0.1:")
    assert "NATS_URL" in line
    assert not any("hunter2" in line for line in service.lines)


async def test_wrong_credentials_are_one_line_and_exit_1(begin: Begin, nats_server: NatsServer) -> None:
    nats_server.configure('authorization { user: bob, password: "right" }')
    nats_server.restart()
    service = await begin(nats_server.url.replace("//", "//bob:wrong@"))

    assert await service.ended() == 1
    (line,) = service.spoken
    assert "wrong user or password" in line
    assert "NATS_URL" in line


async def test_a_rotated_password_ends_it_with_exit_1(begin: Begin, nats_server: NatsServer) -> None:
    nats_server.configure('authorization { user: bob, password: "old" }')
    nats_server.restart()
    service = await begin(nats_server.url.replace("//", "//bob:old@"))
    await until(lambda: "started" in service.said)

    nats_server.configure('authorization { user: bob, password: "new" }')
    nats_server.reload()

    assert await service.ended(30) == 1
    (line,) = service.spoken
    assert "closed for good" in line


async def test_a_taken_port_is_one_line_and_exit_1(begin: Begin, nats_url: str) -> None:
    port = nats_url.rpartition(":")[2]
    service = await begin(nats_url, HEALTH_PORT=port)

    assert await service.ended() == 1
    (line,) = service.spoken
    assert f"port {port} on 127.0.0.1 is in use" in line
    assert "HEALTH_PORT" in line


async def test_a_bad_setting_is_one_line_and_exit_2(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, HEALTH_PORT="eighty", LOG_FORMAT="xml")

    assert await service.ended() == 2
    (line,) = service.lines
    assert "HEALTH_PORT: " in line
    assert "LOG_FORMAT: " in line
    assert "eighty" not in line
    assert "json or console" in line


async def test_a_step_that_takes_too_long_is_named(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, MODE="slow-start")

    assert await service.ended() == 1
    assert service.spoken == ["node: database took longer than 0.5 s. Check DATABASE_URL."]
    assert service.said == ["stopped second", "stopped first"]


async def test_a_bug_at_the_start_is_exit_1_and_what_was_begun_is_stopped(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, MODE="bug")

    assert await service.ended() == 1
    assert service.spoken[-1].startswith("node: KeyError: 'no such thing'")
    assert service.said == ["stopped second", "stopped first"]


async def test_a_signal_during_the_start_abandons_it(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, MODE="long-start")
    await until(lambda: "starting" in service.said)
    service.process.send_signal(signal.SIGTERM)

    assert await service.ended() == 0
    assert service.said == ["starting", "stopped second", "stopped first"]


async def test_a_task_that_fails_ends_the_process(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, MODE="failing-task")

    assert await service.ended() == 1
    assert service.spoken == ["node: janitor failed: RuntimeError: the janitor fell ill. See the log."]
    assert service.said[-2:] == ["stopped second", "stopped first"]


async def test_a_stop_that_hangs_does_not_hold_up_the_others(begin: Begin, nats_url: str) -> None:
    service = await begin(nats_url, MODE="stuck-stop")
    await until(lambda: "started" in service.said)
    started = time.monotonic()
    service.process.send_signal(signal.SIGTERM)

    assert await service.ended() == 0
    assert time.monotonic() - started < 4
    assert service.said[-2:] == ["stopped second", "stopped first"]
    assert any(line["event"] == "stop.too_slow" and line["step"] == "stuck" for line in service.log)


async def test_a_second_signal_ends_it_at_once(begin: Begin, nats_url: str, bus: Bus) -> None:
    service = await begin(nats_url, DRAIN_TIMEOUT_S="60", JOB_S="15")
    await until(lambda: "started" in service.said)
    asking = asyncio.create_task(bus.request(HERE, JOB, timeout_s=15))
    await until(lambda: "begun session_1" in service.said)
    service.process.send_signal(signal.SIGTERM)
    await until(lambda: any(line["event"] == "service.stopping" for line in service.log), 10)
    service.process.send_signal(signal.SIGTERM)

    assert await service.ended(6) == 1
    assert "done session_1" not in service.said
    asking.cancel()
