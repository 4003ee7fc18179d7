"""The scheduler as a real process, and stand-in nodes that speak the nodes' side of the bus."""

import asyncio
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TypeVar

from chassis.nats import Bus, BusUnavailable, CommandHandlers
from contracts.commands import (
    AssignJob,
    CommandFailed,
    DescribeJob,
    DrainNode,
    EndJob,
    JobAccepted,
    JobDescribed,
    JobEnded,
    NodeDraining,
)
from contracts.events import (
    AgentReady,
    AgentSpeaking,
    AgentStopped,
    EndRequested,
    Event,
    SessionEnded,
    SessionStarted,
)
from contracts.registry import NodeJob, NodeState
from contracts.streams import NODES, SLOTS
from contracts.subjects import node_command, session_event
from tests.support.events import just_now, requested
from tests.support.responding import respond

E = TypeVar("E", bound=Event)


def now() -> datetime:
    return datetime.now(UTC)


class StandInNode:
    """A node without workers: takes jobs, says `agent_ready` and `started`, and ends them.

    Attributes:
        silent: Commands get no answer.
        refuses: `assign` is refused with this code.
        never_ready: The agent never joins.
        speaks: A caller is there and hears the agent.
        speaks_s: How long a last sentence takes, unless an end without one comes.
        rooms: Sessions for which a worker waits in the room.
        jobs: Session -> the assignment it holds.
        asked: Every assignment that came, repeated ones too.
        drained: Every `drain` that came; it changes nothing, `draining` does.
    """

    def __init__(self, bus: Bus, node_id: str, *, slots: int = 4, region: str | None = None) -> None:
        self.node_id = node_id
        self.slots = slots
        self.region = region
        self.silent = False
        self.refuses: str | None = None
        self.never_ready = False
        self.starts_calls = True
        self.speaks = False
        self.draining = False
        self.load = 0.1
        self.served_ms = 4_500  # what JetStream's clock allows an epoch at once
        self.fault_ms = 0
        self.speaks_s = 0.0
        self._cut = asyncio.Event()
        self.rooms: tuple[str, ...] = ()
        self.jobs: dict[str, AssignJob] = {}
        self.accepted: dict[str, float] = {}  # session id -> when its job was, on the monotonic clock
        self.asked: list[tuple[float, AssignJob]] = []
        self.ended: list[EndJob] = []
        self.drained: list[DrainNode] = []
        self._bus = bus
        self._bucket = bus.bucket(NODES)
        self._responders: list[CommandHandlers] = []
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "StandInNode":
        self._responders = [
            respond(self._bus, node_command(self.node_id, "assign"), self._assign),
            respond(self._bus, node_command(self.node_id, "end"), self._end),
            respond(self._bus, node_command(self.node_id, "describe"), self._describe),
            respond(self._bus, node_command(self.node_id, "drain"), self._drain),
        ]
        for responder in self._responders:
            await responder.start()
        await self.report()
        self._beating = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def vanish(self, *, expire: bool = True) -> None:
        """Gone, as after kill -9; its key goes at once instead of after its lease."""
        if self._beating is not None:
            self._beating.cancel()
        for responder in self._responders:
            await responder.stop()
        self._responders = []
        if expire and self._bus.is_connected:
            await self._bucket.delete(self.node_id)

    async def report(self) -> None:
        state = NodeState(
            node_id=self.node_id,
            region=self.region,
            slots=self.slots,
            warm=max(0, self.slots - len(self.jobs)),
            busy=len(self.jobs),
            draining=self.draining,
            load=self.load,
            pid=1,
            processes=1,
            started_at=now(),
            jobs=tuple(NodeJob(session_id=s, epoch=j.epoch, pid=7) for s, j in self.jobs.items()),
            rooms=self.rooms,
        )
        await self._bucket.put(self.node_id, state.model_dump_json().encode())

    async def crash(self, session_id: str, *, cause: str = "crashed", served_ms: int = 1_000) -> None:
        """The worker of this session dies."""
        job = self.jobs.pop(session_id)
        await self._bus.publish(
            AgentStopped(
                session_id=session_id,
                time=now(),
                epoch=job.epoch,
                cause=cause,
                served_ms=served_ms,
                fault_ms=self.fault_ms,
            )
        )

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep((NODES.key_ttl_s or 4) / 4)
            with suppress(BusUnavailable):
                await self.report()

    async def _assign(self, job: AssignJob) -> JobAccepted | CommandFailed:
        self.asked.append((time.monotonic(), job))
        if self.silent:
            await asyncio.sleep(20)
        if self.refuses:
            return CommandFailed(code=self.refuses, detail="stand-in")
        first = job.session_id not in self.jobs
        self.jobs[job.session_id] = job
        self.accepted[job.session_id] = time.monotonic()
        if first and not self.never_ready:
            await self._say_ready(job)
            if self.speaks:
                await self._bus.publish(AgentSpeaking(session_id=job.session_id, time=now(), epoch=job.epoch))
            await self.report()
            if job.farewell:
                await self.crash(job.session_id, cause="farewell", served_ms=0)
        return JobAccepted(node_id=self.node_id, pid=7)

    async def _say_ready(self, job: AssignJob) -> None:
        await self._bus.publish(
            AgentReady(
                session_id=job.session_id,
                time=now(),
                epoch=job.epoch,
                node_id=self.node_id,
                pid=7,
                log_file="stand-in.log",
            )
        )
        if self.starts_calls and not job.takeover:
            started = SessionStarted(session_id=job.session_id, time=now(), epoch=job.epoch, at=now())
            await self._bus.publish(started, expect_last=0)

    async def _end(self, command: EndJob) -> JobEnded | CommandFailed:
        self.ended.append(command)
        if self.silent:
            await asyncio.sleep(20)
        job = self.jobs.get(command.session_id)
        if job is None or job.epoch != command.epoch:
            return JobEnded(found=False, served_ms=0, process_gone=True)
        if command.say is None:
            self._cut.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._cut.wait(), self.speaks_s)
        if command.session_id not in self.jobs:
            return JobEnded(found=True, served_ms=self.served_ms, process_gone=True)
        await self.crash(command.session_id, cause="ended", served_ms=self.served_ms)
        return JobEnded(found=True, served_ms=self.served_ms, fault_ms=self.fault_ms, process_gone=True)

    async def _describe(self, command: DescribeJob) -> JobDescribed | CommandFailed:
        job = self.jobs.get(command.session_id)
        if job is None or job.epoch != command.epoch:
            return CommandFailed(code="no_such_job", detail="stand-in")
        await self._say_ready(job)
        age_ms = round((time.monotonic() - self.accepted[command.session_id]) * 1000)
        return JobDescribed.model_validate(job.model_dump() | {"age_ms": age_ms})

    async def _drain(self, command: DrainNode) -> NodeDraining:
        self.drained.append(command)
        return NodeDraining(jobs=len(self.jobs))


_made = 0


def new_id() -> str:
    global _made
    _made += 1
    return f"session_{int(time.time() * 1000)}_{_made:04d}"


async def request(
    bus: Bus, session_id: str | None = None, *, user: str = "ann", limit: int | None = None, **metadata: str
) -> str:
    """What the gateway publishes at a start."""
    session_id = session_id or new_id()
    event = requested(session_id, user, metadata=metadata, credit_limit_minutes=limit)
    await bus.publish(just_now(event), expect_last=0)
    return session_id


async def ask_end(bus: Bus, session_id: str, reason: str = "rest") -> None:
    """What the gateway publishes at an end."""
    await bus.publish(EndRequested(session_id=session_id, time=now(), by="gateway", reason=reason))


async def events(bus: Bus, session_id: str, kind: type[E]) -> list[E]:
    return [s.event for s in await bus.history(session_id) if isinstance(s.event, kind)]


async def wait_for(bus: Bus, session_id: str, kind: type[E], *, n: int = 1, timeout_s: float = 10) -> E:
    """The n-th event of that kind."""
    found: list[E] = []
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        last = await bus.last(session_event(kind.event, session_id))
        if last is not None:
            found = await events(bus, session_id, kind)
            if len(found) >= n:
                return found[n - 1]
        await asyncio.sleep(0.01)
    raise AssertionError(f"no {kind.event} number {n} in {timeout_s:g} s; the log has {await kinds(bus, session_id)}")


async def kinds(bus: Bus, session_id: str) -> list[str]:
    return [type(s.event).event for s in await bus.history(session_id) if isinstance(s.event, Event)]


async def ended(bus: Bus, session_id: str, *, timeout_s: float = 10) -> SessionEnded:
    return await wait_for(bus, session_id, SessionEnded, timeout_s=timeout_s)


async def slots_are_free(bus: Bus) -> None:
    """Wait until no slot is held: one is freed just after `ended`."""
    async with asyncio.timeout(5):
        while await bus.bucket(SLOTS).all():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.02)
