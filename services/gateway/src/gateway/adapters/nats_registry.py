"""The buckets `nodes` and `slots`, and the command `drain`."""

from time import perf_counter

from chassis.nats import Bucket, Bus, NoResponder, NoUsableReply
from contracts.api import Dependency
from contracts.commands import DRAIN, CommandFailed, DrainNode
from contracts.errors import NODE_SILENT, UNKNOWN_NODE, Refused
from contracts.registry import NodeState, Slot
from contracts.streams import LEADERS, NODES, SLOTS, Value
from gateway.adapters.nats_errors import nats_unavailable, translated
from gateway.adapters.shared_read import SharedRead
from gateway.ports import NatsUnavailable


class NatsRegistry:
    """`ports.Registry`."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bus = bus
        self._slots = bus.bucket(SLOTS)
        self._leaders = bus.bucket(LEADERS)
        self._deadline_s = deadline_s
        nodes = bus.bucket(NODES)
        self._kept_nodes = SharedRead(lambda: self._all(nodes))
        self._kept_slots = SharedRead(lambda: self._all(self._slots))

    async def nodes(self) -> list[NodeState]:
        return await self._kept_nodes.get()

    async def slots(self) -> list[Slot]:
        return await self._kept_slots.get()

    async def has_scheduler(self) -> bool:
        with translated():
            return await self._leaders.get("scheduler", deadline_s=self._deadline_s) is not None

    async def drain(self, node_id: str, limit_s: float) -> int:
        try:
            with translated():
                reply = await self._bus.request(
                    DRAIN.at(node_id), DrainNode(limit_s=limit_s), timeout_s=self._deadline_s
                )
        except NoResponder as error:
            raise Refused(UNKNOWN_NODE, f"No node {node_id} is alive.") from error
        except NoUsableReply as error:
            if not self._bus.is_connected:
                raise nats_unavailable(str(error)) from error
            raise Refused(NODE_SILENT, f"Node {node_id}: {error}") from error
        if isinstance(reply, CommandFailed):
            raise Refused(NODE_SILENT, f"Node {node_id} answered {reply.code}: {reply.detail}")
        return reply.jobs

    async def check(self) -> Dependency:
        began = perf_counter()
        try:
            with translated():
                await self._slots.get("0", deadline_s=self._deadline_s)
        except NatsUnavailable as error:
            return Dependency(ok=False, detail=error.detail)
        return Dependency(ok=True, latency_ms=round((perf_counter() - began) * 1000, 2))

    async def _all(self, bucket: Bucket[Value]) -> list[Value]:
        with translated():
            entries = await bucket.all(deadline_s=self._deadline_s)
        return [entry.value for entry in entries.values() if entry.value is not None]
