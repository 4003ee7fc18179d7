"""A whole cell as processes, with stub nodes instead of media.

NATS (one server or three), Redis, LiveKit, SQL and the services. Each service has its own cable to NATS, which
can be pulled. See `Cell.opened`.
"""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from chassis.nats import Bus
from contracts.events import SessionEnded, SessionRequested
from contracts.streams import BUCKETS, STREAMS
from contracts.subjects import session_event
from tests.chaos import checker, nats_clock
from tests.chaos.clocks import Clock
from tests.chaos.evidence import Evidence, Places
from tests.chaos.namespaces import Namespace
from tests.chaos.network import Cable
from tests.integration.billing.service import Billing
from tests.support.servers import API_KEY, API_SECRET, LiveKitServer, Part, RedisServer, Server, free_port, nats_servers

START = "/orchestrator/session/start"
END = "/orchestrator/session/end"
SHARED = {
    # The stub's rooms are empty: no session shall end for that.
    "CALLER_JOIN_TIMEOUT_S": "3600",
    "RECONNECT_GRACE_S": "3600",
    "LEADER_LEASE_S": "2",
    "RECONCILE_S": "3",
    "ATTEMPT_TIMEOUT_S": "3",
    "QUEUE_DEADLINE_S": "20",
    "MAX_TAKEOVERS": "20",
    "LOG_FORMAT": "console",
    "DRAIN_TIMEOUT_S": "2",
}
PATIENCE_S = 60.0
ASK_S = 10.0
STARTS_AGAIN_S = 60.0


@dataclass(frozen=True)
class Shape:
    """What a cell is made of.

    Attributes:
        nats: Servers of NATS, 1 or 3; with 3 each stream has three copies.
        database: DATABASE_URL; None: SQLite in the cell's folder.
        environment: More variables for every service.
        webhooks: Where LiveKit sends its webhooks; None: to the first gateway.
        namespaces: Each node has its own network; needs `namespaces.allowed()`.
        clocks: Each service has its own wall clock, which can be set; needs libfaketime.
        nats_clocks: So has each server of NATS; needs `nats_clock.program()`.
    """

    nats: int = 1
    gateways: int = 1
    schedulers: int = 2
    nodes: int = 2
    slots: int = 8
    max_bots: int = 12
    database: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    webhooks: str | None = None
    clocks: bool = False
    nats_clocks: bool = False
    namespaces: bool = False

    @property
    def services(self) -> list[str]:
        """The names of the processes that are ours."""
        counts = (("scheduler", self.schedulers), ("gateway", self.gateways), ("node", self.nodes))
        return ["billing", *(f"{name}-{n}" for name, count in counts for n in range(1, count + 1))]


class Cell:
    """Made by `opened`. Every process is in `processes`, to kill, freeze and start again."""

    bus: Bus
    http: httpx.AsyncClient

    def __init__(self, folder: Path, shape: Shape) -> None:
        self.folder = folder
        self.shape = shape
        self.nats = nats_servers(folder, shape.nats)
        self.redis = RedisServer(folder / "redis")
        self.cables: dict[str, list[Cable]] = {}
        self.clocks: dict[str, Clock] = {}
        for n, server in enumerate(self.nats if shape.nats_clocks else (), 1):
            clock = self.clocks[f"nats-{n}"] = Clock(folder / f"nats-{n}.clock")
            server.use(nats_clock.wrapped(folder / f"nats-{n}.sh", clock.file))
        self.namespaces: dict[str, Namespace] = {}
        self.processes: dict[str, Part] = {}
        self.accepted: set[str] = set()
        self.earlier: Evidence | None = None
        self.database = shape.database or f"sqlite+aiosqlite:///{folder / 'billing.sqlite'}"
        self._port = free_port()
        self.livekit = LiveKitServer(
            folder / "livekit", webhook_url=shape.webhooks or f"http://127.0.0.1:{self._port}/livekit/webhook"
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, folder: Path, shape: Shape | None = None) -> AsyncGenerator["Cell"]:
        """Start everything, and stop it in the end, whatever happened."""
        cell = cls(folder, shape or Shape())
        async with AsyncExitStack() as stack:
            stack.callback(cell._stop)
            await asyncio.gather(
                *(asyncio.to_thread(server.start) for server in (*cell.nats, cell.redis, cell.livekit))
            )
            cell.bus = await Bus.connect(
                ",".join(server.url for server in cell.nats), name="chaos", replicas=cell.shape.nats, deadline_s=30
            )
            stack.push_async_callback(cell.bus.close)
            await cell.bus.ensure(STREAMS, BUCKETS, deadline_s=30)
            cell.http = await stack.enter_async_context(httpx.AsyncClient(timeout=ASK_S, trust_env=False))
            await cell._start_services(stack)
            await cell.leader(PATIENCE_S)
            yield cell

    async def _start_services(self, stack: AsyncExitStack) -> None:
        shape = self.shape
        billing = Billing(self.folder, database_url=self.database, nats_url=self.nats[0].url)
        await asyncio.to_thread(billing.migrate)
        self._billing_port = free_port()
        for n in range(1, shape.schedulers + 1):
            name = f"scheduler-{n}"
            port = free_port()
            variables = await self._environment(
                stack, name, LIVEKIT_URL=self.livekit.url, HEALTH_PORT=str(port), MAX_LOAD="1000"
            )
            self.processes[name] = Part("scheduler.app", variables, self.folder / f"{name}.log", port)
        self.processes["billing"] = Part(
            "billing.app",
            await self._environment(stack, "billing", PORT=str(self._billing_port), DATABASE_URL=self.database),
            self.folder / "billing.log",
            self._billing_port,
        )
        for n in range(1, shape.gateways + 1):
            name = f"gateway-{n}"
            variables = await self._environment(
                stack,
                name,
                REDIS_URL=self.redis.url,
                LIVEKIT_URL=self.livekit.url,
                BILLING_URL=f"http://127.0.0.1:{self._billing_port}",
            )
            port = self._port if n == 1 else free_port()
            variables["PORT"] = str(port)
            self.processes[name] = Part("gateway.app", variables, self.folder / f"{name}.log", port)
        for n in range(1, shape.nodes + 1):
            name = f"node-{n}"
            if shape.namespaces:
                self.namespaces[name] = stack.enter_context(Namespace(n))
            variables = await self._environment(stack, name, NODE_ID=name, NODE_SLOTS=str(shape.slots))
            prefix = self.namespaces[name].prefix if shape.namespaces else []
            self.processes[name] = Part("tests.chaos.stub_node", variables, self.folder / f"{name}.log", prefix=prefix)
        await asyncio.gather(*(asyncio.to_thread(process.start) for process in self.processes.values()))

    async def _environment(self, stack: AsyncExitStack, name: str, **more: str) -> dict[str, str]:
        if self.shape.clocks:
            self.clocks[name] = Clock(self.folder / f"{name}.clock")
            more |= self.clocks[name].environment
        return {
            **SHARED,
            "MAX_BOTS": str(self.shape.max_bots),
            "NATS_URL": await self._nats_url(stack, name),
            "NATS_REPLICAS": str(self.shape.nats),
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
            **self.shape.environment,
            **more,
        }

    async def _nats_url(self, stack: AsyncExitStack, name: str) -> str:
        """NATS_URL of one process: over its own cables."""
        host = self.namespaces[name].host if name in self.namespaces else "127.0.0.1"
        cables = [await stack.enter_async_context(Cable("127.0.0.1", server.port, at=host)) for server in self.nats]
        self.cables[name] = cables
        return ",".join(f"nats://{host}:{cable.port}" for cable in cables)

    def _stop(self) -> None:
        for process in (*reversed(self.processes.values()), self.livekit, self.redis, *self.nats):
            process.kill9()

    # --- faults

    def pull(self, name: str) -> None:
        """Cut a process off from NATS: nothing passes, and no connection ends."""
        if name in self.namespaces:
            self.namespaces[name].cut()
            return
        for cable in self.cables[name]:
            cable.pull()

    def plug_in(self, name: str) -> None:
        if name in self.namespaces:
            self.namespaces[name].mend()
        for cable in self.cables[name]:
            cable.plug_in()

    async def restart(self, name: str) -> None:
        """Start what was killed, or kill it and start it again."""
        self.server(name).kill9()
        await self.start_again(name)

    async def start_again(self, name: str) -> None:
        """Start it as a supervisor does: again if it gives up, as a service does while NATS does not answer."""
        until = time.monotonic() + STARTS_AGAIN_S
        while True:
            try:
                return await asyncio.to_thread(self.server(name).start)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(1)

    def server(self, name: str) -> Server:
        """Any process of the cell: a service, a node, `redis`, `livekit`, `nats` or `nats-1` and on."""
        named = {f"nats-{n}": server for n, server in enumerate(self.nats, 1)}
        return ({"redis": self.redis, "livekit": self.livekit, "nats": self.nats[0]} | named | self.processes)[name]

    async def mend(self) -> None:
        """Everything runs and is connected again."""
        for name in self.cables:
            self.plug_in(name)
        for clock in self.clocks.values():
            clock.step(0)
        for name in (*(f"nats-{n}" for n in range(1, len(self.nats) + 1)), "redis", "livekit", *self.processes):
            if (server := self.server(name)).is_running:
                server.thaw()
            else:
                await self.start_again(name)

    async def leader(self, within_s: float) -> str:
        """The scheduler that leads."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            for name, process in self.processes.items():
                if name.startswith("scheduler") and "scheduler_leading 1.0" in await self._metrics(process):
                    return name
            await asyncio.sleep(0.1)
        raise AssertionError(f"no scheduler leads within {within_s:g} s")

    async def _metrics(self, process: Part) -> str:
        return (await asyncio.to_thread(process.get, "/metrics"))[1]

    # --- calls

    def gateway(self, n: int = 1) -> str:
        """The URL of a gateway."""
        return self.processes[f"gateway-{n}"].url

    async def start(self, user: str = "Ann", *, key: str | None = None, gateway: int = 1, **body: Any) -> str | None:
        """Start a session as a client does that repeats what may be repeated; None: refused (429)."""
        headers = {"Idempotency-Key": key or os.urandom(8).hex()}
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = await self.http.post(
                    f"{self.gateway(gateway)}{START}", json={"userName": user, **body}, headers=headers
                )
            except httpx.HTTPError as error:
                answer, why = None, repr(error)
            else:
                why = f"{answer.status_code} {answer.text}"
                if answer.status_code == 200:
                    self.accepted.add(session_id := answer.json()["sessionId"])
                    return session_id
                if answer.status_code == 429:
                    return None
            assert answer is None or answer.json()["retryable"], f"the start of {user} was refused: {why}"
            assert time.monotonic() < until, f"the start of {user} is not answered in {PATIENCE_S:g} s: {why}"
            await asyncio.sleep(0.2)

    async def started(self, user: str = "Ann", **body: Any) -> str:
        """A start that no full queue may refuse."""
        session_id = await self.start(user, **body)
        assert session_id is not None, "429"
        return session_id

    async def end(self, session_id: str, *, gateway: int = 1) -> None:
        """End a session as a client does that repeats what may be repeated."""
        until = time.monotonic() + PATIENCE_S
        why = ""
        while time.monotonic() < until:
            try:
                answer = await self.http.post(f"{self.gateway(gateway)}{END}", json={"sessionId": session_id})
            except httpx.HTTPError as error:
                why = repr(error)
            else:
                why = f"{answer.status_code} {answer.text}"
                if answer.status_code == 200:
                    return
                assert answer.json()["retryable"], f"the end of {session_id} was refused: {why}"
            await asyncio.sleep(0.2)
        raise AssertionError(f"the end of {session_id} is not answered in {PATIENCE_S:g} s: {why}")

    # --- the state of the cell

    async def count(self, event: str, session_id: str) -> int:
        """How many events of a kind a session's log has."""
        subject = session_event(event, session_id)
        return sum(1 for stored in await self.bus.history(session_id, deadline_s=20) if stored.subject == subject)

    async def until(self, event: str, session_id: str, *, n: int = 1, within_s: float = 20) -> None:
        """Wait for the n-th event of a kind."""
        until = time.monotonic() + within_s
        while await self.count(event, session_id) < n:
            if time.monotonic() > until:
                log = [s.subject.split(".")[3] for s in await self.bus.history(session_id)]
                raise AssertionError(f"{session_id}: no {n}. {event} within {within_s:g} s; its log: {log}")
            await asyncio.sleep(0.05)

    async def serving(self, n: int, *, within_s: float = 20, **body: Any) -> list[str]:
        """Start sessions and wait until each has its agent."""
        found = await asyncio.gather(*(self.started(f"User {i}", **body) for i in range(n)))
        await asyncio.gather(*(self.until("started", session_id, within_s=within_s) for session_id in found))
        return list(found)

    async def open_sessions(self) -> set[str]:
        """Accepted and not ended, by the log."""
        subjects = [session_event(kind.event, "*") for kind in (SessionRequested, SessionEnded)]
        found: dict[str, set[str]] = {"requested": set(), "ended": set()}
        async for stored in self.bus.replay(subjects, until_caught_up=True):
            found[stored.subject.split(".")[3]].add(stored.subject.rpartition(".")[2])
        return found["requested"] - found["ended"]

    async def billed_ms(self, session_id: str) -> int:
        """The billable time on the session's bill."""
        await self.until("billed", session_id, within_s=30)
        answer = await self.http.get(f"{self.gateway()}/billing/sessions/{session_id}")
        assert answer.status_code == 200, answer.text
        return int(answer.json()["billableMs"])

    @property
    def places(self) -> Places:
        """Where the checker reads."""
        return Places(
            nats=",".join(server.url for server in self.nats),
            redis=self.redis.url,
            database=self.database,
            livekit=self.livekit.url,
            livekit_key=API_KEY,
            livekit_secret=API_SECRET,
        )

    async def check(self, *, within_s: float = 60.0) -> Evidence:
        """End what is open, and let the checker find no fault; the last line of each test."""
        for name in self.cables:
            self.plug_in(name)
        await asyncio.gather(*(self.end(session_id) for session_id in await self.open_sessions()))
        self.earlier = await checker.check(
            self.places,
            within_s=within_s,
            save=self.folder / "violated.json",
            why=self.logs,
            max_bots=self.shape.max_bots,
            accepted=self.accepted,
            earlier=self.earlier,
        )
        return self.earlier

    def logs(self) -> str:
        """The last lines of every service's log, for a failure's message."""
        found = [f"the cell's folder: {self.folder}"]
        for log in sorted(self.folder.glob("**/*.log")):
            if "nats" not in log.name and "livekit" not in log.name:
                lines = log.read_text(errors="replace").splitlines()[-8:]
                found.append(f"--- {log.relative_to(self.folder)}\n" + "\n".join(line[:300] for line in lines))
        return "\n".join(found)
