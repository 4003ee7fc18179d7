"""The control plane under load: its processes, a fleet of stub nodes, the log read live, and CPU time."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from rig.processes import cpu_s, tree
from rig.session import new_session

from chassis.nats import Bus
from contracts.events import EndRequested, Event, JobAssigned, SessionEnded, SessionQueued, SessionRequested
from contracts.subjects import session_event
from greenroom_cli.stack import Part, Stack
from greenroom_cli.stack.ports import free_ports
from greenroom_cli.stack.services import service

STUBS: Final = Path(__file__).with_name("stub_nodes.py")
ANNOUNCED_S: Final = 60.0
SEEN_S: Final = 60.0
SETTLE_S: Final = 1.0
TAILED: Final = (SessionRequested, SessionQueued, JobAssigned, SessionEnded)


class Tail:
    """The log, read live: when each event of each session was stored.

    Attributes:
        stored_ms: By event and session id, on JetStream's clock.
    """

    def __init__(self) -> None:
        self.stored_ms: dict[str, dict[str, int]] = {event.event: {} for event in TAILED}
        self._changed = asyncio.Event()

    async def follow(self, bus: Bus) -> None:
        since = datetime.now(UTC) - timedelta(seconds=1)
        async for stored in bus.replay([session_event(e.event, "*") for e in TAILED], since=since):
            if isinstance(stored.event, Event):
                self.stored_ms[stored.event.event].setdefault(stored.event.session_id, stored.stored_ms)
                self._changed.set()

    async def until_seen(self, event: type[Event], session_id: str) -> int:
        """Wait until the session has this event; returns when it was stored."""
        found = self.stored_ms[event.event]
        async with asyncio.timeout(SEEN_S):
            while session_id not in found:
                self._changed.clear()
                await self._changed.wait()
        return found[session_id]

    async def count(self, sessions: set[str], *events: type[Event], limit_s: float) -> int:
        """Wait until each session has one of these events, or the time is up; returns how many have."""
        until = time.monotonic() + limit_s
        while True:
            have = set().union(*(self.stored_ms[event.event].keys() & sessions for event in events))
            if len(have) == len(sessions) or time.monotonic() > until:
                return len(have)
            await asyncio.sleep(0.05)


@asynccontextmanager
async def tailing(bus: Bus) -> AsyncGenerator[Tail]:
    """A tail that follows while the block runs."""
    tail = Tail()
    following = asyncio.create_task(tail.follow(bus))
    try:
        yield tail
    finally:
        following.cancel()
        await asyncio.wait({following})


@asynccontextmanager
async def stub_fleet(stack: Stack, *, nodes: int, slots: int, ticks: int = 0) -> AsyncIterator[int]:
    """A fleet of stub nodes while the block runs; gives the pid of its process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(STUBS), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        order = {"url": stack.environment["NATS_URL"], "nodes": nodes, "slots": slots, "ticks": ticks}
        process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(ANNOUNCED_S):
            if await process.stdout.readline() != b"announced\n":
                raise RuntimeError("the stub nodes could not be announced; their words are above")
        await asyncio.sleep(SETTLE_S)
        yield process.pid
        process.stdin.close()
        async with asyncio.timeout(ANNOUNCED_S):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def request(bus: Bus) -> str:
    """What the gateway publishes at a start."""
    session, now = new_session(), datetime.now(UTC)
    event = SessionRequested(
        session_id=session, time=now, user_name="Anna", user_id=session, voice_id="Ashley", opening_line="Hello!",
        system_prompt="Be kind.",
    )  # fmt: skip
    await bus.publish(event, expect_last=0)
    return session


async def ask_end(bus: Bus, session: str) -> None:
    """What the gateway publishes at an end."""
    await bus.publish(EndRequested(session_id=session, time=datetime.now(UTC), by="api", reason="requested"))


async def second_scheduler(stack: Stack) -> None:
    """Start another scheduler, which stands by, as `scheduler-2`."""
    spec = stack.processes[Part.SCHEDULER].spec
    port = next(free_ports())
    environment = {**spec.environment, "HEALTH_PORT": str(port)}
    await stack.supervisor.start([service("scheduler-2", "scheduler.app", f"127.0.0.1:{port}", environment)])


class CpuTime:
    """CPU seconds of every process of the control plane since it was made."""

    def __init__(self, stack: Stack, **others: int) -> None:
        self._pids = {name: process.pid for name, process in stack.processes.items() if process.is_running}
        self._pids |= others | {"bench": os.getpid()}
        self._before = self._now()

    def used(self) -> dict[str, float]:
        return {name: round(now - self._before[name], 2) for name, now in self._now().items()}

    def _now(self) -> dict[str, float]:
        found = {name: tree(pid) for name, pid in self._pids.items()}
        # The stubs are a child of the bench, and count as themselves.
        return {name: cpu_s(processes[:1] if name == "bench" else processes) for name, processes in found.items()}
