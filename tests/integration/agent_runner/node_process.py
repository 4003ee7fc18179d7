"""A supervisor in its own process, and what a test can see of it from outside."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import urlopen

from chassis.nats import Bus
from contracts.commands import ASSIGN, END, CommandFailed, EndJob, JobAccepted, JobEnded
from contracts.events import Event, JobAssigned
from contracts.registry import NodeState
from contracts.streams import NODES
from tests.support.commands import assign_job
from tests.support.processes import descendants, is_alive
from tests.support.servers import free_port
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]
STAND_IN = "tests.integration.agent_runner.stand_in_app"
"""The supervisor's module with workers that only follow a script."""


class NodeProcess:
    """`python -m <module>` with its environment; stderr goes into `log`."""

    def __init__(
        self, folder: Path, nats_url: str, *, module: str, args: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.node_id = folder.name.replace(".", "-")
        self.log_dir = folder / "logs"
        self.log = folder / "supervisor.log"
        self.health = f"http://127.0.0.1:{(port := free_port())}"
        self._command = [sys.executable, "-m", module, *args]
        self._env = os.environ | {
            "NATS_URL": nats_url,
            "NODE_ID": self.node_id,
            "NODE_SLOTS": "3",
            "PREWARM_POOL_SIZE": "2",
            "LOG_DIR": str(self.log_dir),
            "HEALTH_PORT": str(port),
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "DRAIN_LIMIT_S": "0",
            "TICK_S": "0.5",
            "GROQ_API_KEY": "groq",
            "ASSEMBLY_API_KEY": "assembly",
            "INWORLD_API_KEY": "inworld",
            "GROQ_BASE_URL": "http://127.0.0.1:1/openai/v1",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The supervisor."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self.process.pid

    def start(self) -> "NodeProcess":
        """Start it; it is not ready yet."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=self._env, cwd=ROOT, stdout=log, stderr=log)
        return self

    async def ready(self, deadline_s: float = 20.0) -> None:
        """Wait until `/ready` says so."""
        await until(lambda: self.not_ready() is None or self.process.poll() is not None, deadline_s)
        assert self.process.poll() is None, self.log.read_text()[-2000:]

    def not_ready(self) -> dict[str, str] | None:
        """The reasons of `/ready`; None when it is ready."""
        try:
            with urlopen(f"{self.health}/ready", timeout=2) as answer:
                return None if answer.status == 200 else {}
        except OSError as error:
            body = getattr(error, "read", lambda: b"")()
            return json.loads(body)["reasons"] if body else {"http": str(error)}

    def metrics(self) -> str:
        """The text of `/metrics`."""
        with urlopen(f"{self.health}/metrics", timeout=2) as answer:
            return answer.read().decode()

    def terminate(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    async def exited(self, deadline_s: float = 15.0) -> int:
        """Wait for its end; its exit code."""
        await until(lambda: self.process.poll() is not None, deadline_s)
        return self.process.returncode

    def kill(self) -> None:
        """Whatever is left of it, in a test's clean-up."""
        if self._process is not None and self._process.poll() is None:
            below = descendants(self.pid)
            self._process.kill()
            self._process.wait(5)
            deadline = time.monotonic() + 2
            while any(is_alive(p) for p in below) and time.monotonic() < deadline:
                time.sleep(0.02)


class Driver:
    """What the scheduler says to a node, and what the log has about a session."""

    def __init__(self, bus: Bus, node: NodeProcess) -> None:
        self.bus = bus
        self.node = node

    async def assigned(self, session_id: str, epoch: int = 1) -> None:
        """Publish `assigned`."""
        await self.bus.publish(
            JobAssigned(
                session_id=session_id,
                time=datetime.now(UTC),
                epoch=epoch,
                node_id=self.node.node_id,
                served_ms_before=0,
            )
        )

    async def assign(
        self, session_id: str, prompt: str = "", *, epoch: int = 1, **changes: object
    ) -> JobAccepted | CommandFailed:
        """`assigned`, then the command."""
        await self.assigned(session_id, epoch)
        return await self.command_assign(session_id, prompt, epoch=epoch, **changes)

    async def command_assign(
        self, session_id: str, prompt: str = "", *, epoch: int, **changes: object
    ) -> JobAccepted | CommandFailed:
        """The command `assign`."""
        job = assign_job(session_id, epoch=epoch, system_prompt=prompt, **changes)
        return await self.bus.request(ASSIGN.at(self.node.node_id), job, timeout_s=10)

    async def start(self, session_id: str, prompt: str = "", **changes: object) -> int:
        """Assign, and wait for the agent; its pid."""
        reply = await self.assign(session_id, prompt, **changes)  # pyright: ignore[reportArgumentType]
        assert isinstance(reply, JobAccepted), reply
        epoch = changes.get("epoch", 1)
        await self.has(session_id, "agent_ready", epoch=epoch)
        return reply.pid

    async def end(self, session_id: str, *, epoch: int = 1, say: str | None = None) -> JobEnded | CommandFailed:
        """The command `end`."""
        command = EndJob(session_id=session_id, epoch=epoch, reason="test", say=say)
        return await self.bus.request(END.at(self.node.node_id), command, timeout_s=10)

    async def ended(self, session_id: str, **how: object) -> JobEnded:
        """End it, and expect that it is so."""
        reply = await self.end(session_id, **how)  # pyright: ignore[reportArgumentType]
        assert isinstance(reply, JobEnded), reply
        return reply

    async def log(self, session_id: str) -> list[Event]:
        """The session's events."""
        stored = await self.bus.history(session_id)
        return [one.event for one in stored if isinstance(one.event, Event)]

    async def names(self, session_id: str) -> list[str]:
        """Their names, without the ticks."""
        return [e.event for e in await self.log(session_id) if e.event != "tick"]

    async def has(self, session_id: str, name: str, deadline_s: float = 10.0, **fields: object) -> Event:
        """Wait for an event with these fields."""
        async with asyncio.timeout(deadline_s):
            while True:
                for event in await self.log(session_id):
                    if event.event == name and all(getattr(event, k) == v for k, v in fields.items()):
                        return event
                await asyncio.sleep(0.02)

    async def state(self) -> NodeState | None:
        """The node's entry in the registry."""
        entry = await self.bus.bucket(NODES).get(self.node.node_id)
        return None if entry is None else NodeState.model_validate_json(entry.data)

    async def shows(self, expected: Callable[[NodeState], object], deadline_s: float = 10.0) -> NodeState:
        """Wait until the entry is as expected."""
        async with asyncio.timeout(deadline_s):
            while True:
                state = await self.state()
                if state is not None and expected(state):
                    return state
                await asyncio.sleep(0.02)
