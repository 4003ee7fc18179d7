"""What the control plane carries. Everything is real but the nodes, which take jobs and hold no media.

    python tests/bench/control_plane.py [--quick] [--only fleet gateway fail-over burst] [--nodes 10 100 1000]
        [--in-flight 1 16 64] [--starts 400] [--max-bots 1000] [--old] [--json FILE]

fleet       starts published as the gateway does, 16 in flight: request -> assigned on JetStream's clock; idle CPU
gateway     POST start and POST end, so many in flight, and the CPU seconds of each process
fail-over   the leading scheduler is killed while MAX_BOTS - 1 sessions are open, each with ticks behind it
burst       10 x MAX_BOTS starts at once: CPU seconds until each has its first answer
"""

import asyncio
import signal
import tempfile
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import aiohttp
from rig.control import CpuTime, Tail, ask_end, request, second_scheduler, stub_fleet, tailing
from rig.figures import Figure, Goal, arguments, publish, run_bench

from chassis.nats import Bus, Change
from contracts.events import JobAssigned, SessionEnded, SessionQueued, SessionRequested
from contracts.streams import LEADERS, NODES, SESSIONS
from greenroom_cli.stack import SERVERS, Part, Stack, StackOptions, running_stack, system_environment

SECTIONS: Final = ("fleet", "gateway", "fail-over", "burst")
FLEET_IN_FLIGHT: Final = 16
IDLE_S: Final = 6.0
STATS: Final = 20
TICKS: Final = 20
OLD_S: Final = 185.0  # a new leader reads the last 180 s of the log as they came, what is older session by session
BURST_S: Final = 300.0
NOTES: Final = (
    "NATS with sync_interval: always; SQLite; gateway, scheduler, billing, servers, nodes and load share the machine",
    "a node renews its entry every third of its lease, and 50 ms after each change",
)


class Bench:
    """One stack, what is asked of it, and the figures so far."""

    def __init__(self, stack: Stack, bus: Bus, tail: Tail, asked: Namespace) -> None:
        self.figures: list[Figure] = []
        self._stack = stack
        self._bus = bus
        self._tail = tail
        self._asked = asked

    async def fleet(self) -> None:
        """Starts and ends on the bus, with fleets of several sizes."""
        for nodes in self._asked.nodes:
            async with stub_fleet(self._stack, nodes=nodes, slots=self._slots(nodes)) as stubs:
                label = f"{nodes} nodes"
                cpu = CpuTime(self._stack, stubs=stubs)
                await asyncio.sleep(IDLE_S)
                self._cpu(f"{label}, idle: CPU a minute", cpu.used(), per=IDLE_S / 60)
                sessions: list[str] = []

                async def start(sessions: list[str] = sessions) -> None:
                    session = await request(self._bus)
                    await self._tail.until_seen(JobAssigned, session)
                    sessions.append(session)

                elapsed_s = await at_once(FLEET_IN_FLIGHT, self._asked.starts, start)
                asked_ms = self._tail.stored_ms[SessionRequested.event]
                assigned_ms = self._tail.stored_ms[JobAssigned.event]
                self._note(f"{label}: starts", "1/s", len(sessions) / elapsed_s)
                self._note(
                    f"{label}: request to assigned", "ms", *(float(assigned_ms[s] - asked_ms[s]) for s in sessions)
                )
                await self._time_stats(label)
                await self._end(sessions, f"{label}: ends")

    async def gateway(self) -> None:
        """Starts and ends over HTTP."""
        nodes = 10
        async with (
            stub_fleet(self._stack, nodes=nodes, slots=self._slots(nodes)) as stubs,
            aiohttp.ClientSession(self._stack.gateway_url, connector=aiohttp.TCPConnector(limit=0)) as client,
        ):
            for in_flight in self._asked.in_flight:
                count = self._asked.starts if in_flight > 1 else self._asked.starts // 4
                sessions: list[str] = []
                label = f"{in_flight} in flight"

                async def start(sessions: list[str] = sessions) -> bool:
                    async with client.post("/orchestrator/session/start", json={"userName": "Anna"}) as answer:
                        body = await answer.json()
                        if answer.status == 200:
                            sessions.append(body["sessionId"])
                        return answer.status == 200

                async def end(sessions: list[str] = sessions) -> bool:
                    body = {"sessionId": sessions.pop()}
                    async with client.post("/orchestrator/session/end", json=body) as answer:
                        return answer.status == 200

                await self._time_posts(f"{label}, start", in_flight, count, start, stubs)
                await self._tail.count(set(sessions), JobAssigned, limit_s=30)
                await self._time_posts(f"{label}, end", in_flight, len(sessions), end, stubs)
            info = await self._bus.js.stream_info(SESSIONS.name)
            self._note("consumers of SESSIONS after all ends", "", float(info.state.consumer_count))

    async def fail_over(self) -> None:
        """How long no session is placed after the leader's death."""
        await second_scheduler(self._stack)
        taken_at_ms: list[float] = []

        async def on_change(change: Change) -> None:
            if change.key == Part.SCHEDULER and change.data not in (None, *holders):
                holders.add(change.data)
                taken_at_ms.append(time.time() * 1000)

        holders: set[bytes | None] = set()
        watching = asyncio.create_task(self._bus.bucket(LEADERS).watch(on_change))
        async with stub_fleet(self._stack, nodes=100, slots=self._slots(100), ticks=TICKS):
            sessions = [await request(self._bus) for _ in range(self._asked.max_bots - 1)]
            have = await self._tail.count(set(sessions), JobAssigned, limit_s=120)
            await asyncio.sleep(OLD_S if self._asked.old else 5)
            taken_at_ms.clear()
            killed_ms = time.time() * 1000
            self._stack.processes[Part.SCHEDULER].signal(signal.SIGKILL)
            assigned_ms = await self._tail.until_seen(JobAssigned, await request(self._bus))
            watching.cancel()
            await asyncio.wait({watching})
            label = f"leader killed, {have} {'old' if self._asked.old else 'young'} sessions"
            self._note(f"{label}: next start assigned", "ms", assigned_ms - killed_ms)
            if taken_at_ms:
                self._note(f"{label}: beyond the lease", "ms", assigned_ms - taken_at_ms[0], goal=("<=", 1000.0))
            await self._end(sessions, f"{label}: ends by the next leader")

    async def burst(self) -> None:
        """Ten times as many starts as there is room for."""
        leader = "scheduler-2" if "scheduler-2" in self._stack.processes else Part.SCHEDULER.value
        count = 10 * self._asked.max_bots
        async with stub_fleet(self._stack, nodes=100, slots=self._slots(100)) as stubs:
            cpu = CpuTime(self._stack, stubs=stubs)
            began = time.monotonic()
            sessions: set[str] = set()

            async def start() -> None:
                sessions.add(await request(self._bus))

            await at_once(128, count, start)
            published_s = time.monotonic() - began
            answers = (JobAssigned, SessionQueued, SessionEnded)
            have = await self._tail.count(sessions, *answers, limit_s=BURST_S)
            label = f"burst of {count}"
            self._note(f"{label}: published in", "s", published_s)
            self._note(f"{label}: first answers ({have}) in", "s", time.monotonic() - began)
            self._note(f"{label}: CPU of the scheduler", "s", cpu.used()[leader], goal=("<=", 2.0))

    async def _time_posts(
        self, label: str, in_flight: int, count: int, post: Callable[[], Awaitable[bool]], stubs: int
    ) -> None:
        times_ms: list[float] = []
        failed = 0

        async def timed() -> None:
            nonlocal failed
            began = time.monotonic()
            failed += not await post()
            times_ms.append((time.monotonic() - began) * 1000)

        cpu = CpuTime(self._stack, stubs=stubs)
        elapsed_s = await at_once(in_flight, count, timed)
        used = cpu.used()
        self._note(f"{label}: rate", "1/s", count / elapsed_s, goal=(">=", 250.0) if in_flight > 1 else None)
        self._note(f"{label}: latency", "ms", *times_ms)
        if in_flight == FLEET_IN_FLIGHT:
            p99 = Figure("", "ms", times_ms).quantile(0.99)
            self._note(f"{label}: p99", "ms", p99, goal=("<=", 150.0))
        self._note(f"{label}: not 200", "", float(failed))
        self._cpu(f"{label}: CPU per 1,000", used, per=count / 1000)

    async def _time_stats(self, label: str) -> None:
        figure = Figure(f"{label}: GET /stats", "ms")
        async with aiohttp.ClientSession(self._stack.gateway_url) as client:
            for _ in range(STATS):
                began = time.monotonic()
                async with client.get("/stats") as answer:
                    await answer.read()
                figure.values.append((time.monotonic() - began) * 1000)
        self.figures.append(figure)

    async def _end(self, sessions: list[str], label: str) -> None:
        waiting = list(sessions)

        async def end() -> None:
            session = waiting.pop()
            await ask_end(self._bus, session)
            await self._tail.until_seen(SessionEnded, session)

        self._note(label, "1/s", len(sessions) / await at_once(FLEET_IN_FLIGHT, len(sessions), end))

    def _slots(self, nodes: int) -> int:
        return max(8, -(-self._asked.max_bots // nodes))

    def _note(self, name: str, unit: str, *values: float, goal: Goal | None = None) -> None:
        self.figures.append(Figure(name, unit, list(values), goal=goal))

    def _cpu(self, label: str, used: dict[str, float], *, per: float) -> None:
        for name, seconds in used.items():
            self._note(f"{label}, {name}", "s", seconds / per)


async def at_once(in_flight: int, count: int, work: Callable[[], Awaitable[object]]) -> float:
    """Do the work `count` times, so many at once; returns the seconds that took."""
    left = iter(range(count))
    began = time.monotonic()

    async def worker() -> None:
        for _ in left:
            await work()

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return time.monotonic() - began


async def main() -> None:
    parser = arguments(__doc__ or "", runs=None)
    parser.add_argument("--quick", action="store_true", help="about a minute: small fleets, few starts, MAX_BOTS 200")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="these sections")
    parser.add_argument("--nodes", type=int, nargs="+", help="sizes of the fleet (default 10 100 1000)")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 16, 64], help="default %(default)s")
    parser.add_argument("--starts", type=int, help="starts of each kind (default 400)")
    parser.add_argument("--max-bots", type=int, help="MAX_BOTS (default 1000)")
    parser.add_argument("--old", action="store_true", help="wait until the fail-over's sessions are 185 s old")
    asked = parser.parse_args()
    asked.nodes = asked.nodes or ([10, 100] if asked.quick else [10, 100, 1000])
    asked.starts = asked.starts or (120 if asked.quick else 400)
    asked.max_bots = asked.max_bots or (200 if asked.quick else 1000)
    limits = {"MAX_BOTS": str(asked.max_bots), "CALLER_JOIN_TIMEOUT_S": "3600", "RECONNECT_GRACE_S": "3600"}
    options = StackOptions(
        parts=SERVERS | {Part.BILLING, Part.SCHEDULER, Part.GATEWAY}, environment=system_environment() | limits
    )
    with tempfile.TemporaryDirectory(prefix="greenroom-bench-") as folder:
        async with running_stack(Path(folder), options) as stack:
            bus = await Bus.connect(stack.environment["NATS_URL"], name="bench", graceful_timeout_s=1)
            async with tailing(bus) as tail:
                bench = Bench(stack, bus, tail, asked)
                sections = {
                    "fleet": bench.fleet, "gateway": bench.gateway, "fail-over": bench.fail_over, "burst": bench.burst
                }  # fmt: skip
                for name in SECTIONS:
                    if name in asked.only:
                        await sections[name]()
            await bus.close()
    lease = f"leases: a node's {NODES.key_ttl_s} s, the scheduler's 5 s; MAX_BOTS {asked.max_bots}"
    publish("The control plane", bench.figures, asked.json, notes=(*NOTES, lease))


if __name__ == "__main__":
    run_bench(main())
