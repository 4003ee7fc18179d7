"""What open streams of events cost one gateway, in CPU. NATS, Redis and the gateway are real, the calls are published.

    python tests/bench/event_streams.py [--streams 500] [--sessions 50] [--seconds 20] [--runs 3] [--json FILE]

no stream   the sessions run: the projector's work, and the reader of the log
sessions    every stream follows one session, as many on each
live        every stream follows all sessions, as the console's page Live
mixed       half of each

A session has a turn every 6 s, a tick every 5 s, and a tool's call every 20 s. The streams' cost is the gateway's CPU
with them minus that without, in per cent of one core.
"""

import asyncio
import random
import tempfile
import time
from argparse import Namespace
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from rig.control import request
from rig.figures import Figure, Goal, arguments, publish, run_bench
from rig.processes import cpu_s, tree

from chassis.nats import Bus
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    JobAssigned,
    ServedTick,
    SessionStarted,
    ToolCalled,
    TurnFinished,
)
from greenroom_cli.stack import SERVERS, Part, Stack, StackOptions, running_stack, system_environment

TURN_S: Final = 6.0
TICK_S: Final = 5.0
TOOL_S: Final = 20.0
SETTLE_S: Final = 3.0
OPEN_S: Final = 60.0
GOAL: Final[Goal] = ("<=", 10.0)
WORDS: Final = "Could you please tell me whether the table by the window is free on Friday evening?"
STAGES: Final = {"endpointing": 220, "stt": 90, "llm": 310, "sentence": 120, "tts": 160, "transport": 20, "total": 920}


class Call:
    """A session whose node publishes what a real one does."""

    def __init__(self, bus: Bus, session_id: str) -> None:
        self.session_id = session_id
        self._bus = bus
        self._turns = self._tools = 0
        self._began = time.monotonic()

    async def begin(self) -> None:
        about: dict[str, Any] = {"session_id": self.session_id, "epoch": 1}
        now = datetime.now(UTC)
        stages = {"pool_wait": 0, "go": 1, "join": 110, "joined": 112}
        for event in (
            JobAssigned(**about, time=now, node_id="n1", served_ms_before=0),
            AgentReady(**about, time=now, node_id="n1", pid=1, log_file="n1.log", stage_ms=stages),
            SessionStarted(**about, time=now, at=now),
            AgentSpeaking(**about, time=now, stage_ms={**stages, "heard": 171}),
        ):
            await self._bus.publish(event)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for every_s, tell in ((TURN_S, self._turn), (TICK_S, self._tick), (TOOL_S, self._tool)):
                tasks.create_task(self._repeat(every_s, tell))

    async def _repeat(self, every_s: float, tell: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await asyncio.sleep(random.uniform(0, every_s))
        while True:
            await tell()
            await asyncio.sleep(every_s * random.uniform(0.8, 1.2))

    async def _turn(self) -> None:
        self._turns += 1
        await self._bus.publish(
            TurnFinished(
                session_id=self.session_id, time=datetime.now(UTC), epoch=1, n=self._turns, user_text=WORDS,
                heard_text=WORDS, stage_ms=STAGES, budget_ms=1_200,
            )
        )  # fmt: skip

    async def _tick(self) -> None:
        served_ms = round((time.monotonic() - self._began) * 1000)
        await self._bus.publish(
            ServedTick(session_id=self.session_id, time=datetime.now(UTC), epoch=1, served_ms=served_ms)
        )

    async def _tool(self) -> None:
        self._tools += 1
        for status, outcome in (("started", ""), ("finished", "done")):
            await self._bus.publish(
                ToolCalled(
                    session_id=self.session_id, time=datetime.now(UTC), epoch=1, n=self._tools, turn=self._turns,
                    name="book_table", key="k", arguments_hash="0" * 64, status=status, outcome=outcome,
                )
            )  # fmt: skip


class Reader:
    """One open stream; counts its events."""

    def __init__(self, url: str, path: str) -> None:
        self.events = 0
        self.has_begun = asyncio.Event()
        self._address = urlsplit(url)
        self._path = path

    async def read(self) -> None:
        host, port = self._address.hostname or "", self._address.port or 80
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET {self._path} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
            status = await reader.readline()
            if b" 200 " not in status:
                raise RuntimeError(f"{self._path}: {status.decode().strip()}")
            while data := await reader.read(65_536):
                self.events += data.count(b"event: ")
                if b"retry: " in data:
                    self.has_begun.set()
            raise RuntimeError(f"{self._path}: the stream ended")
        finally:
            writer.close()


@asynccontextmanager
async def open_streams(url: str, paths: list[str]) -> AsyncGenerator[list[Reader]]:
    """All of them, from the moment when each has begun."""
    readers = [Reader(url, path) for path in paths]
    async with asyncio.TaskGroup() as tasks:
        reading = [tasks.create_task(reader.read()) for reader in readers]
        async with asyncio.timeout(OPEN_S):
            for reader in readers:
                await reader.has_begun.wait()
        yield readers
        for task in reading:
            task.cancel()


class Bench:
    def __init__(self, stack: Stack, calls: list[Call], asked: Namespace) -> None:
        self._gateway = stack.processes[Part.GATEWAY]
        self._url = stack.gateway_url
        self._calls = calls
        self._asked = asked
        names = ("no stream", "sessions", "live", "mixed")
        self.cpu = {name: Figure(f"{name}: the gateway's CPU", "%") for name in names}
        self.cost = {
            name: Figure(f"{name}: cost of {asked.streams} streams", "%", goal=GOAL)
            for name in names
            if name != names[0]
        }
        self.told = {name: Figure(f"{name}: events a second to all streams", "1/s") for name in self.cost}

    async def run(self) -> None:
        """Each kind in turn, so that another load on the machine meets all of them."""
        count, ids = self._asked.streams, [call.session_id for call in self._calls]
        session_paths = [f"/v1/sessions/{ids[n % len(ids)]}/events" for n in range(count)]
        live_paths = ["/v1/events"] * count
        paths = {"sessions": session_paths, "live": live_paths, "mixed": session_paths[::2] + live_paths[1::2]}
        for _ in range(self._asked.runs):
            before = await self._measure("no stream")
            for name, chosen in paths.items():
                async with open_streams(self._url, chosen) as readers:
                    await asyncio.sleep(SETTLE_S)
                    told = sum(reader.events for reader in readers)
                    cpu = await self._measure(name)
                    self.told[name].values.append((sum(r.events for r in readers) - told) / self._asked.seconds)
                self.cost[name].values.append(max(0.0, cpu - before))
                await asyncio.sleep(SETTLE_S)

    async def _measure(self, name: str) -> float:
        """The gateway's share of one core, in per cent."""
        before, began = self._cpu_s(), time.monotonic()
        await asyncio.sleep(self._asked.seconds)
        used = 100 * (self._cpu_s() - before) / (time.monotonic() - began)
        self.cpu[name].values.append(used)
        return used

    def _cpu_s(self) -> float:
        return cpu_s(tree(self._gateway.pid))


async def main() -> None:
    parser = arguments(__doc__ or "", runs=3)
    parser.add_argument("--streams", type=int, default=500, help="open streams (default %(default)s)")
    parser.add_argument("--sessions", type=int, default=50, help="live sessions (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of a measurement (default %(default)s)")
    asked = parser.parse_args()
    options = StackOptions(parts=SERVERS | {Part.GATEWAY}, environment=system_environment())
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder:
        async with running_stack(Path(folder), options) as stack:
            bus = await Bus.connect(stack.environment["NATS_URL"], name="bench", graceful_timeout_s=1)
            calls = [Call(bus, await request(bus)) for _ in range(asked.sessions)]
            for call in calls:
                await call.begin()
            running = [asyncio.create_task(call.run()) for call in calls]
            bench = Bench(stack, calls, asked)
            await asyncio.sleep(SETTLE_S)
            await bench.run()
            for task in running:
                task.cancel()
            await asyncio.wait(running)
            await bus.close()
    figures = [*bench.cpu.values(), *bench.cost.values(), *bench.told.values()]
    note = f"{asked.sessions} live sessions: each a turn every 6 s, a tick every 5 s, a tool's call every 20 s"
    publish("Open streams of events", figures, asked.json, notes=(note,))


if __name__ == "__main__":
    run_bench(main())
