"""Nodes without workers, all of a fleet in one process: they take jobs, say what a node says, and end them.

    python tests/bench/rig/stub_nodes.py < order.json

The order is one line: {"url": NATS', "nodes": how many, "slots": of each, "ticks": reports of served time that each
job has behind it at once}. When the nodes are announced, a line "announced" comes; at the end of the input their
entries are deleted. Events are published without waiting for their acknowledgement, which keeps the process cheap.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from nats.aio.msg import Msg

from chassis.cancellation import mend_wait_for
from chassis.nats import Bus
from chassis.nats.jetstream.messages import headers_of
from contracts.commands import AssignJob, EndJob, JobAccepted, JobEnded
from contracts.events import AgentReady, AgentStopped, Event, ServedTick, SessionStarted
from contracts.registry import NodeJob, NodeState
from contracts.streams import NODES
from contracts.subjects import node_command

DEBOUNCE_S: Final = 0.05  # as a real node does
RENEW_S: Final = (NODES.key_ttl_s or 15) / 3
SERVED_MS: Final = 100  # less than any of these sessions lasts: billing names what the clock does not allow
AT_ONCE: Final = 64  # announcements


@dataclass
class StubNode:
    """One node: what it holds, and whether its entry is out of date."""

    node_id: str
    slots: int
    started_at: datetime
    jobs: dict[str, int] = field(default_factory=dict[str, int])
    is_changed: bool = False

    def state(self) -> NodeState:
        return NodeState(
            node_id=self.node_id,
            slots=self.slots,
            warm=max(0, self.slots - len(self.jobs)),
            busy=len(self.jobs),
            load=0.1,
            pid=os.getpid(),
            processes=1,
            started_at=self.started_at,
            jobs=tuple(NodeJob(session_id=session, epoch=epoch, pid=1) for session, epoch in self.jobs.items()),
        )


class Fleet:
    """All nodes of the process, on one connection."""

    def __init__(self, bus: Bus, *, nodes: int, slots: int, ticks: int) -> None:
        now = _now()
        self.nodes = {name: StubNode(name, slots, now) for name in (f"stub-{n:05d}" for n in range(nodes))}
        self._bus = bus
        self._bucket = bus.bucket(NODES)
        self._ticks = ticks

    async def serve(self) -> None:
        """Answer commands and renew the entries until cancelled."""
        await self._bus.nc.subscribe(node_command("*", "assign"), cb=self._answering(self._assign))
        await self._bus.nc.subscribe(node_command("*", "end"), cb=self._answering(self._end))
        await self._each(lambda node: self._announce(node))
        print("announced", flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._renew())
            tasks.create_task(self._tell_changes())

    async def leave(self) -> None:
        """Delete every entry."""
        await self._each(lambda node: self._bucket.delete(node.node_id))

    async def _each(self, work: Callable[[StubNode], Awaitable[object]]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(node: StubNode) -> None:
            async with turns:
                await work(node)

        await asyncio.gather(*(one(node) for node in self.nodes.values()))

    def _answering(self, answer: Callable[[StubNode, bytes], Awaitable[str]]) -> Callable[[Msg], Awaitable[None]]:
        async def on(message: Msg) -> None:
            node = self.nodes[message.subject.split(".")[3]]
            reply = await answer(node, message.data)
            node.is_changed = True
            await message.respond(reply.encode())

        return on

    async def _assign(self, node: StubNode, data: bytes) -> str:
        job = AssignJob.model_validate_json(data)
        session, epoch, now = job.session_id, job.epoch, _now()
        if session not in node.jobs:
            node.jobs[session] = epoch
            ready = AgentReady(
                session_id=session, time=now, epoch=epoch, node_id=node.node_id, pid=1, log_file="stub.log"
            )
            await self._publish(ready)
            if not job.takeover:
                await self._publish(SessionStarted(session_id=session, time=now, epoch=epoch, at=now))
            for n in range(self._ticks):
                await self._publish(ServedTick(session_id=session, time=now, epoch=epoch, served_ms=n + 1))
        return JobAccepted(node_id=node.node_id, pid=1).model_dump_json()

    async def _end(self, node: StubNode, data: bytes) -> str:
        command = EndJob.model_validate_json(data)
        if node.jobs.pop(command.session_id, None) is None:
            return JobEnded(found=False, served_ms=0, process_gone=True).model_dump_json()
        stopped = AgentStopped(
            session_id=command.session_id, time=_now(), epoch=command.epoch, cause="ended", served_ms=SERVED_MS
        )
        await self._publish(stopped)
        return JobEnded(found=True, served_ms=SERVED_MS, process_gone=True).model_dump_json()

    async def _publish(self, event: Event) -> None:
        headers = headers_of(event, "stub-nodes")
        await self._bus.nc.publish(event.subject, event.model_dump_json().encode(), headers=headers)

    async def _announce(self, node: StubNode) -> None:
        node.is_changed = False
        await self._bucket.put(node.node_id, node.state().model_dump_json().encode())

    async def _renew(self) -> None:
        while True:
            for node in self.nodes.values():
                node.is_changed = True
                await asyncio.sleep(RENEW_S / len(self.nodes))  # spread, as those of real nodes are

    async def _tell_changes(self) -> None:
        while True:
            changed = [node for node in self.nodes.values() if node.is_changed]
            await asyncio.gather(*(self._announce(node) for node in changed))
            await asyncio.sleep(DEBOUNCE_S)


def _now() -> datetime:
    return datetime.now(UTC)


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    bus = await Bus.connect(order["url"], name="stub-nodes", graceful_timeout_s=1)
    fleet = Fleet(bus, nodes=order["nodes"], slots=order["slots"], ticks=order["ticks"])
    serving = asyncio.create_task(fleet.serve())
    told_to_stop = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    await asyncio.wait({serving, told_to_stop}, return_when=asyncio.FIRST_COMPLETED)
    if serving.done():
        serving.result()
    serving.cancel()
    await asyncio.wait({serving})
    await fleet.leave()
    await bus.close()


if __name__ == "__main__":
    mend_wait_for()
    asyncio.run(main())
