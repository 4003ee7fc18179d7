"""`greenroom serve`: a call, a drain, a restart, and the restore drill of docs/deploy/upgrade-and-backup.md."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.api import StartRequest
from greenroom_cli.call.audio import Samples
from greenroom_cli.call.participant import Call
from greenroom_cli.call.place import Script, place_call
from greenroom_cli.gateway import Gateway
from greenroom_cli.settings import Settings
from greenroom_cli.stack import system_environment
from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.providers import sandbox_environment
from tests.integration.cli.running import GREENROOM, greenroom
from tests.support.processes import command_of, environment_of, pids
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer, Part, RedisServer, free_port
from tests.support.waiting import until

KEY = "a-key-of-at-least-16-characters"
UP_S, STOP_S = 90.0, 40.0
# Small streams, so that the test needs little disk; and no refusal for the load of the machine that runs the tests.
SIZES = {"SESSIONS_MAX_MB": "64", "IDEMPOTENCY_MAX_MB": "8", "SEATS_MAX_MB": "8"}
PATIENT = {"MAX_LOAD": "1000", "WORKER_SILENCE_S": "4", "SMART_TURN_STOP_SECS": "1", "PREWARM_POOL_SIZE": "1"}


def _unheard(samples: Samples) -> None:
    del samples


class Container:
    """A running `greenroom serve`, as a container would run it: by environment and volume alone."""

    def __init__(self, folder: Path, environment: Mapping[str, str], *more: str) -> None:
        self.url = f"http://127.0.0.1:{environment['PORT']}"
        self.state = folder / "state"
        self._output = folder / "output"
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                [*GREENROOM, "serve", "--state", str(self.state), *more],
                cwd=folder,
                env=environment,
                stdout=output,
                stderr=output,
            )

    def get(self, path: str, key: str = KEY) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"X-API-Key": key} if key else {}, timeout=5, trust_env=False)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self._output.read_text()[-3000:]
        try:
            answer = self.get("/ready")
        except httpx.TransportError:
            return False
        return answer.status_code == 200 and answer.json()["missing"] == {}

    def last_line(self) -> str:
        return self._output.read_text().splitlines()[-1]

    def said(self) -> list[dict[str, Any]]:
        """The JSON lines on its standard output; nats-server's are plain text."""
        lines = self._output.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, event: str) -> list[str]:
        return [line["part"] for line in self.said() if line["event"] == event]

    def bill(self, session: str) -> Any:
        answer = self.get(f"/billing/sessions/{session}")
        return answer.json() if answer.status_code == 200 else None

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)


class World:
    """What a deployment finds elsewhere: LiveKit, Redis and the providers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = next(free_ports())
        self.livekit = LiveKitServer(folder / "livekit", webhook_url=f"http://127.0.0.1:{self.port}/livekit/webhook")
        sandbox = free_port()
        self.providers = sandbox_environment(sandbox, {})
        keys = dict.fromkeys(("SANDBOX_ASSEMBLY_KEY", "SANDBOX_GROQ_KEY", "SANDBOX_INWORLD_KEY"), "sandbox")
        self.sandbox = Part("sandbox", {**keys, "SANDBOX_PORT": str(sandbox)}, folder / "sandbox.log")
        self.containers: list[Container] = []

    def environment(self, redis: RedisServer) -> dict[str, str]:
        servers = {"LIVEKIT_URL": self.livekit.url, "REDIS_URL": redis.url}
        access = {"LIVEKIT_API_KEY": API_KEY, "LIVEKIT_API_SECRET": API_SECRET, "GREENROOM_API_KEYS": KEY}
        own = {"PORT": str(self.port), **servers, **access}
        return {**system_environment(), **self.providers, **SIZES, **PATIENT, **own}

    def start(self, name: str, redis: RedisServer, *more: str) -> Container:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        container = Container(folder, self.environment(redis), *more)
        self.containers.append(container)
        return container

    async def serve(self, name: str, redis: RedisServer, *more: str) -> Container:
        container = self.start(name, redis, *more)
        await until(container.is_ready, UP_S, "it is not ready")
        return container

    def settings(self, container: Container) -> Settings:
        return Settings.of({**self.providers, "GREENROOM_URL": container.url, "GREENROOM_API_KEY": KEY})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with world.livekit, world.sandbox:
        yield world
        for container in world.containers:
            container.process.kill()
            container.process.wait()


@pytest.mark.timeout(240)
async def test_a_call_a_drain_a_restart_and_a_restore_elsewhere(
    world: World, redis_server: RedisServer, tmp_path: Path
) -> None:
    here = await world.serve("here", redis_server)
    assert here.get("/sessions", key="").status_code == 401
    settings = world.settings(here)
    report = await place_call(
        settings, Script(StartRequest(user_name="Ann"), ["What time is it?"]), tmp_path / "heard.wav", lambda *_: None
    )

    second = await _drained_call(here, settings, tmp_path)

    sessions = (report.session_id, second)
    bills = {session: here.bill(session) for session in sessions}
    assert here.process.wait(STOP_S) == 0
    assert all(bill["minutes"] == 1 for bill in bills.values())
    assert here.events("part.stopped")[0] == "agent-runner", "the others serve until the calls have ended"

    again = await world.serve("here", redis_server)
    assert {session: again.bill(session) for session in sessions} == bills
    await _a_part_that_dies_comes_back(again)
    assert {session: again.bill(session) for session in sessions} == bills
    assert again.stop() == 0

    # The restore drill: copy the stopped volume, start elsewhere with an empty Redis.
    (tmp_path / "elsewhere").mkdir()
    shutil.copytree(again.state, tmp_path / "elsewhere" / "state")
    with RedisServer(tmp_path / "other-redis") as empty:
        beside = world.start("elsewhere", empty)
        assert await asyncio.to_thread(beside.process.wait, UP_S) == 1
        assert "is a copy of a deployment's folder" in beside.last_line()
        elsewhere = await world.serve("elsewhere", empty, "--restored")
        assert {session: elsewhere.bill(session) for session in sessions} == bills
        shown = await until(lambda: elsewhere.get(f"/sessions/{second}").json().get("outcome"), 15, "no read model")
        assert shown == "completed"
        assert elsewhere.stop() == 0


async def _drained_call(container: Container, settings: Settings, folder: Path) -> str:
    """A call that is in progress at SIGTERM goes on until the caller ends it; return its id."""
    async with (
        Gateway(settings.greenroom_url, settings.api_key) as gateway,
        Call(folder / "second.wav", _unheard) as call,
    ):
        started = await gateway.start(StartRequest(user_name="Ben"))
        await call.join(started.server_url, started.token)
        await call.agent_joined(35)
        await call.first_sound(15)

        container.process.send_signal(signal.SIGTERM)

        await until(lambda: any(pool["draining"] for pool in container.get("/stats").json()["pool"]), 10, "no drain")
        await _a_part_that_dies_comes_back(container)
        assert container.get(f"/sessions/{started.session_id}").json()["status"] == "active"
        await gateway.end(started.session_id)
        await until(lambda: container.bill(started.session_id), 10, "no bill")
        return started.session_id


async def _a_part_that_dies_comes_back(container: Container) -> None:
    pid = next(
        pid for pid in pids() if "billing.app" in command_of(pid) and str(container.state) in environment_of(pid)
    )
    started = len(container.events("part.started"))
    os.kill(pid, signal.SIGKILL)
    await until(lambda: "billing" in container.events("part.died"), 10, "its death was not logged")
    await until(lambda: len(container.events("part.started")) > started, UP_S, "it was not started again")


def test_without_keys_it_does_not_start_and_says_so_in_one_line(tmp_path: Path) -> None:
    done = greenroom("serve", "--state", "state", folder=tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("greenroom: GREENROOM_API_KEYS is not set; set it to a key")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "state").exists()
