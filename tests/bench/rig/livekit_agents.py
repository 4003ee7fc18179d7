"""The peers, livekit-agents and OpenRTC, on the LiveKit server of our stack: installed, started, asked for calls."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from livekit.protocol.agent_dispatch import CreateAgentDispatchRequest

from greenroom_cli.stack import Stack
from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.process import ProcessSpec

from .caller import livekit
from .speech import record

BENCH = Path(__file__).parents[1]
REQUIREMENTS = BENCH / "peer" / "requirements.txt"
HOME = BENCH.parents[1] / ".tools" / "bench" / "peer"
IDLE_PROCESSES = 3
PEER_RATE = 24_000
READY_S, INSTALL_S, SETTLE_S = 60.0, 600.0, 2.0
LINES = ("Hi Anna, how can I help you today?", "It is about a quarter past two.")

REGISTERED = re.compile(rb"registered worker")
INITIALIZED = re.compile(rb"process initialized")
JOB = re.compile(rb"bench job (\S+) pid (\d+)")


def install() -> Path:
    """The Python of the peers' virtual environment, recreated when the pins changed.

    Raises:
        subprocess.CalledProcessError: The packages could not be installed; the installer's words are on stderr.
    """
    python, stamp = HOME / "bin" / "python", HOME / "installed.txt"
    if not stamp.exists() or stamp.read_bytes() != REQUIREMENTS.read_bytes():
        uv = Path(sys.executable).with_name("uv")
        print(f"installing livekit-agents and OpenRTC into {HOME.relative_to(BENCH.parents[1])}, once", file=sys.stderr)
        for command in (
            ("venv", "--quiet", "--clear", "--python", sys.executable, str(HOME)),
            # Copies: files linked from a cache that ours is linked from too would be shared memory.
            (
                "pip",
                "sync",
                "--quiet",
                "--link-mode",
                "copy",
                "--python",
                str(python),
                "--require-hashes",
                str(REQUIREMENTS),
            ),
        ):
            subprocess.run([uv, *command], check=True, timeout=INSTALL_S)
        stamp.write_bytes(REQUIREMENTS.read_bytes())
    return python


def pinned_version() -> str:
    """The versions of the peers, and the LiveKit SDK they bring."""
    pins = dict(re.findall(r"^([\w-]+)==([^\s;\\]+)", REQUIREMENTS.read_text(), re.MULTILINE))
    versions = f"livekit-agents {pins['livekit-agents']} with livekit {pins['livekit']} (ours: {version('livekit')})"
    return f"{versions}, openrtc {pins['openrtc']}"


class Peer:
    """A running livekit-agents worker, stopped with the stack that it was started in.

    Args:
        lines: Sentences that it can say beside the usual two.
        environment: Of its stubs; see peer/stubs.py.
    """

    name, program, agent_name = "livekit-agents", "agent.py", "bench"

    def __init__(
        self, stack: Stack, *, lines: Sequence[str] = (), environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._stack = stack
        self._lines, self._environment = (*LINES, *lines), environment
        self._dispatched = 0

    @property
    def pid(self) -> int:
        """Its main process."""
        return self._stack.processes[self.name].pid

    async def start(self) -> None:
        """Install what is missing, synthesise what it says, start it, and wait until its idle processes are ready."""
        python = await asyncio.to_thread(install)
        folder = self._stack.folder.path
        lines = folder / "peer_lines.json"
        wavs = {text: str(folder / f"peer_line_{n}.wav") for n, text in enumerate(self._lines)}
        for text, wav in wavs.items():
            await record(self._stack, text, Path(wav), rate=PEER_RATE)
        lines.write_text(json.dumps(wavs))
        environment = {**self._stack.environment, **self._environment, "PEER_LINES": str(lines)}
        port = next(iter(free_ports()))
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        spec = ProcessSpec(
            name=self.name,
            command=(str(python), str(BENCH / "peer" / self.program), "start"),
            environment=keep | environment | {"PEER_PORT": str(port), "PYTHONUNBUFFERED": "1"},
            ready=self._missing,
            ready_timeout_s=READY_S,
            stop_timeout_s=1,
        )
        await self._stack.supervisor.start([spec])

    async def until_idle(self) -> None:
        """Wait until all its idle processes are ready again."""
        deadline = time.monotonic() + READY_S
        while (missing := await self._missing()) is not None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name}: {missing}; see {self._log}")
            await asyncio.sleep(0.1)

    async def dispatch(self, room: str) -> float:
        """Ask for an agent in a room, over an open connection; returns the monotonic time of the request."""
        async with livekit(self._stack.environment) as server:
            await server.agent_dispatch.list_dispatch(room_name=room)
            self._dispatched += 1
            since = time.monotonic()
            request = CreateAgentDispatchRequest(agent_name=self.agent_name, room=room)
            await server.agent_dispatch.create_dispatch(request)
            return since

    async def job_pid(self, room: str) -> int:
        """The process of the call in a room, once it has begun."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            pids = {name.decode(): int(pid) for name, pid in JOB.findall(self._log.read_bytes())}
            if room in pids:
                return pids[room]
            await asyncio.sleep(0.1)
        raise TimeoutError(f"{self.name} began no job in {room} within {READY_S:g} s; see {self._log}")

    @property
    def _log(self) -> Path:
        return self._stack.folder.logs / f"{self.name}.log"

    async def _missing(self) -> str | None:
        log = self._log.read_bytes() if self._log.exists() else b""
        if not REGISTERED.search(log):
            return "not registered with LiveKit"
        ready = len(INITIALIZED.findall(log)) - self._dispatched
        return None if ready >= IDLE_PROCESSES else f"{ready} of {IDLE_PROCESSES} idle processes are ready"


class OpenRtc(Peer):
    """A running OpenRTC worker: one process, whose calls are coroutines; none waits idle."""

    name, program, agent_name = "OpenRTC", "openrtc_agent.py", "bench-openrtc"

    async def until_idle(self) -> None:
        await asyncio.sleep(SETTLE_S)

    async def job_pid(self, room: str) -> int:
        return self.pid

    async def _missing(self) -> str | None:
        is_there = self._log.exists() and REGISTERED.search(self._log.read_bytes())
        return None if is_there else "not registered with LiveKit"
