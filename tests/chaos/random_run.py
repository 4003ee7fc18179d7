"""Chaos at random: real processes, stub nodes, starts and ends without a pause, and a fault every few seconds.

    python -m tests.chaos.random_run --minutes 4 [--seed 7] [--nats 3]

The seed is printed first; the same seed chooses the same faults in the same order. Every round ends with the checker.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from chassis.cancellation import mend_wait_for
from tests.chaos import clocks, namespaces
from tests.chaos.cell import Cell, Shape

ROUND_S = 60.0
ENVIRONMENT = {"MAX_QUEUE": "100", "QUEUE_DEADLINE_S": "60", "BOT_STARTUP_TIMEOUT": "60"}
SHAPE = Shape(gateways=2, schedulers=2, nodes=3, slots=6, max_bots=12, environment=ENVIRONMENT)
PAUSE_S = (0.3, 3.0)
HELD_S = (0.5, 12.0)
CALL_S = (0.5, 15.0)
BURST = (1, 10)
STEPS_S = (-300, -30, 30, 300)
GATEWAY_STEPS_S = (-30, 30)  # LiveKit refuses tokens that are 60 s off, and the gateway then every start
AT_ONCE = 3


@dataclass(frozen=True)
class Fault:
    """One fault: what is done to a process, and how long it lasts.

    Attributes:
        kind: A name in `Run.kinds`.
        target: A process of the cell.
        held_s: From its beginning to its repair.
        step_s: How far a clock is set wrong, in seconds.
    """

    kind: str
    target: str
    held_s: float
    step_s: int


class Run:
    """One random run on one cell."""

    def __init__(self, cell: Cell, seed: int, say: Callable[[str], None]) -> None:
        self.cell = cell
        # Apart, because the two run side by side: how quick the machine is must not change what is drawn.
        self._fates = random.Random(f"faults {seed}")
        self._callers = random.Random(f"calls {seed}")
        self.say = say
        self.kinds: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "cut": self._cut,
            "clock": self._clock,
            "worker": self._worker,
        }
        self._busy: set[str] = set()
        self._began = time.monotonic()

    async def round(self, seconds: float) -> None:
        """Faults and calls for so long; then everything is mended, and the checker must find nothing."""
        until = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._calls(until))
            tasks.create_task(self._faults(until))
        await self.cell.mend()
        evidence = await self.cell.check(within_s=90)
        self.say(f"the checker finds nothing: {len(self.cell.accepted)} sessions, {evidence.last_seq} events")

    async def _calls(self, until: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            n = 0
            while time.monotonic() < until:
                for _ in range(self._callers.randint(*BURST)):
                    n += 1
                    gateway = self._callers.randint(1, self.cell.shape.gateways)
                    tasks.create_task(self._call(f"User {n}", self._callers.uniform(*CALL_S), gateway))
                await asyncio.sleep(self._callers.uniform(*PAUSE_S))

    async def _call(self, user: str, lasts_s: float, gateway: int) -> None:
        session_id = await self.cell.start(user, gateway=gateway)
        if session_id is not None:
            await asyncio.sleep(lasts_s)
            await self.cell.end(session_id, gateway=gateway)

    async def _faults(self, until: float) -> None:
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < until:
                fault = self.choose()
                # Drawn in any case, so that the seed alone decides what comes next.
                if len(self._busy) < AT_ONCE and fault.target not in self._busy and fault.kind in self.kinds:
                    tasks.create_task(self._inject(fault))
                await asyncio.sleep(self._fates.uniform(*PAUSE_S))

    def choose(self) -> Fault:
        """The next fault; the seed alone decides which."""
        services = self.cell.shape.services
        servers = ["redis", "livekit", *(f"nats-{n}" for n in range(1, len(self.cell.nats) + 1))]
        kind = self._fates.choices(["kill", "freeze", "cut", "clock", "worker"], [5, 4, 3, 2, 2])[0]
        target = self._fates.choice(services if kind in ("cut", "clock") else services + servers)
        if kind == "worker":
            target = self._fates.choice([name for name in services if name.startswith("node")])
        step_s = self._fates.choice(GATEWAY_STEPS_S if "gateway" in target else STEPS_S)
        return Fault(kind, target, self._fates.uniform(*HELD_S), step_s)

    async def _inject(self, fault: Fault) -> None:
        self._busy.add(fault.target)
        passed_s = time.monotonic() - self._began
        self.say(f"{passed_s:6.1f} s  {fault.kind:6s} {fault.target} for {fault.held_s:.1f} s")
        try:
            await self.kinds[fault.kind](fault)
        finally:
            self._busy.discard(fault.target)

    async def _kill(self, fault: Fault) -> None:
        server = self.cell.server(fault.target)
        server.kill9()
        await asyncio.sleep(fault.held_s)
        await self.cell.start_again(fault.target)

    async def _freeze(self, fault: Fault) -> None:
        server = self.cell.server(fault.target)
        await asyncio.to_thread(server.freeze)
        await asyncio.sleep(fault.held_s)
        server.thaw()

    async def _cut(self, fault: Fault) -> None:
        self.cell.pull(fault.target)
        await asyncio.sleep(fault.held_s)
        self.cell.plug_in(fault.target)

    async def _clock(self, fault: Fault) -> None:
        clock = self.cell.clocks.get(fault.target)
        if clock is not None:
            clock.step(fault.step_s)
            await asyncio.sleep(fault.held_s)
            clock.step(0)

    async def _worker(self, fault: Fault) -> None:
        os.kill(self.cell.server(fault.target).pid, signal.SIGUSR1)


async def run(*, minutes: float, seed: int, nats: int, folder: Path, say: Callable[[str], None]) -> None:
    """Run rounds until the time expires.

    Raises:
        AssertionError: An invariant does not hold, or a request was not answered; the text names the seed.
    """
    until = time.monotonic() + minutes * 60
    has_clocks = clocks.library() is not None
    has_networks = namespaces.allowed()
    say(
        f"seed {seed}, {minutes:g} minutes, {nats} x NATS, clock steps: {'yes' if has_clocks else 'no libfaketime'}, "
        f"nodes are cut off by: {'their network' if has_networks else 'a proxy'}"
    )
    try:
        async with Cell.opened(folder, replace(SHAPE, nats=nats, clocks=has_clocks, namespaces=has_networks)) as cell:
            running = Run(cell, seed, say)
            while (left_s := until - time.monotonic()) > 0:
                await running.round(min(ROUND_S, left_s))
    except* AssertionError as failures:
        raise AssertionError(f"seed {seed}, NATS x {nats}: {_texts(failures)}") from failures


def _texts(failures: BaseExceptionGroup) -> str:
    return "\n".join(_texts(e) if isinstance(e, BaseExceptionGroup) else str(e) for e in failures.exceptions)


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.random_run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--nats", type=int, choices=(1, 3), default=1, help="servers of NATS")
    parser.add_argument("--folder", type=Path, help="where the cell lives; it is kept")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="greenroom-chaos-"))

    def say(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    mend_wait_for()
    try:
        asyncio.run(run(minutes=given.minutes, seed=given.seed, nats=given.nats, folder=folder, say=say))
    except AssertionError as failure:
        say(f"{failure}\nwhat was read, if the checker failed: {folder}/violated.json")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
