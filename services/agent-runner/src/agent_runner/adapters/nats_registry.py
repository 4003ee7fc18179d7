"""The node's entry in the key-value bucket `nodes`, which exactly one process holds and writes."""

import asyncio
from typing import Final

from agent_runner.ports import NameTaken
from chassis import logs
from chassis.nats import Bus, BusUnavailable, Entry, KeyChanged, KeyExists, PublishRefused
from contracts.deadlines import NODE_RENEW_S
from contracts.registry import NodeState
from contracts.streams import NODES

_ANSWER_S: Final = 0.3  # after a failed write, reconnect to another server if this one does not answer a ping in time
_LOOK_S: Final = 0.25
_STALE_S: Final = 20.0  # longer than the lease of any version: such an entry would never expire
_TRIES: Final = 3

log = logs.get_logger(__name__)


class NatsRegistry:
    """Creates and renews the entry by its revision, with the bucket's TTL: one of two processes with a name wins."""

    def __init__(self, bus: Bus, incarnation: str) -> None:
        """`incarnation`: unique to this process."""
        self._bus = bus
        self._nodes = bus.bucket(NODES)
        self._incarnation = incarnation
        self._revision: int | None = None
        self._writing = asyncio.Lock()

    async def wait_for_name(self, node_id: str) -> None:
        """Return when the name is free: an entry that is not renewed is left from a killed process, and expires.

        Raises:
            NameTaken: Another process renews the entry.
        """
        loop = asyncio.get_running_loop()
        since, seen = loop.time(), None
        while True:
            try:
                entry = await self._nodes.get(node_id, deadline_s=NODE_RENEW_S)
            except BusUnavailable as error:
                log.warning("registry.unavailable", error=str(error))
                await asyncio.sleep(_LOOK_S)
                continue
            if entry is None:
                return
            if seen is None:
                seen = entry.revision
                log.warning("node.waits_for_name", node_id=node_id, held_by=_holder(entry), lease_s=NODES.key_ttl_s)
            elif entry.revision != seen:
                raise NameTaken(node_id, _holder(entry))
            elif loop.time() - since >= _STALE_S:
                self._revision = entry.revision
                return
            await asyncio.sleep(_LOOK_S)

    async def announce(self, state: NodeState) -> bool:
        async with self._writing:
            try:
                async with asyncio.timeout(NODE_RENEW_S):
                    for _ in range(_TRIES):
                        if await self._write(state):
                            return True
            except (BusUnavailable, PublishRefused, TimeoutError) as error:
                log.warning("registry.unavailable", error=str(error) or f"no answer in {NODE_RENEW_S:g} s")
        await self._bus.reconnect_if_silent(_ANSWER_S)
        return False

    async def delete(self, node_id: str) -> None:
        """Delete the entry if it is ours; if that fails, it expires."""
        if self._revision is None:
            return
        try:
            for _ in range(_TRIES):
                try:
                    await self._nodes.delete(node_id, self._revision, deadline_s=NODE_RENEW_S)
                    return
                except KeyChanged:
                    entry = await self._nodes.get(node_id, deadline_s=NODE_RENEW_S)
                    if entry is None or not self._is_ours(entry):
                        return
                    self._revision = entry.revision
        except (BusUnavailable, PublishRefused) as error:
            log.warning("registry.unavailable", error=str(error))

    async def _write(self, state: NodeState) -> bool:
        """Write once. False: the revision had changed; the current one is read, so another try may succeed.

        Raises:
            NameTaken: The entry is another process's.
        """
        try:
            if self._revision is None:
                self._revision = await self._nodes.create(state.node_id, state, deadline_s=NODE_RENEW_S)
            else:
                self._revision = await self._nodes.update(state.node_id, state, self._revision, deadline_s=NODE_RENEW_S)
        except (KeyChanged, KeyExists):
            entry = await self._nodes.get(state.node_id, deadline_s=NODE_RENEW_S)
            if entry is not None and not self._is_ours(entry):
                raise NameTaken(state.node_id, _holder(entry)) from None
            self._revision = None if entry is None else entry.revision  # expired, or the acknowledgement was lost
            return False
        return True

    def _is_ours(self, entry: Entry[NodeState]) -> bool:
        return entry.value is not None and entry.value.incarnation == self._incarnation


def _holder(entry: Entry[NodeState]) -> str:
    state = entry.value
    if state is None:
        return "of another version"
    return f"pid {state.pid}, started at {state.started_at:%Y-%m-%d %H:%M:%S} UTC"
