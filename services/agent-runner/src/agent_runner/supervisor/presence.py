"""The node's entry in the registry: renewed each second, and never after a lapse before the jobs are fenced."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from agent_runner.domain.node import NodeLease
from agent_runner.domain.pulse import LOOK_S, silence_step
from agent_runner.ports import NameTaken, Registry
from agent_runner.supervisor import meters
from agent_runner.supervisor.node import Node
from chassis import logs
from chassis.clock import boot_clock
from contracts.deadlines import NODE_RENEW_S

_RETRY_S: Final = 0.5
_DEBOUNCE_S: Final = 0.05

log = logs.get_logger(__name__)


class Presence:
    """Writes the node's entry, and fences the node's jobs after an absence longer than the lease.

    Attributes:
        has_name: False once another process has the node's name: the jobs run elsewhere then.
    """

    def __init__(self, node: Node, registry: Registry, *, clock: Callable[[], float] = boot_clock) -> None:
        self.has_name = True
        self._node = node
        self._registry = registry
        self._clock = clock
        self._lease = NodeLease(renewed=clock())
        self._fencing = asyncio.Lock()

    async def watch(self) -> None:
        """Look at every worker a few times a second."""
        while True:
            last = self._clock()
            await asyncio.sleep(LOOK_S)
            elapsed = self._clock() - last
            # A shorter pause is left to `announce`, whose next round is near.
            if elapsed >= NODE_RENEW_S and await self._fence_if_lapsed():
                self._node.changed.set()
            self._node.look(silence_step(elapsed))

    async def announce(self) -> None:
        """Renew the entry each second and at each change; the first time when the node can take a job.

        Raises:
            NameTaken: Another process has the node's name.
        """
        changed = self._node.changed
        while self._node.problem() is not None:
            changed.clear()
            await changed.wait()
        self._lease = self._lease.renew(self._clock())
        while True:
            changed.clear()
            try:
                done = await self.announce_now()
            except NameTaken:
                self.has_name = False
                raise
            try:
                async with asyncio.timeout(NODE_RENEW_S if done else _RETRY_S):
                    await changed.wait()
                    await asyncio.sleep(_DEBOUNCE_S)
            except TimeoutError:
                pass

    async def announce_now(self) -> bool:
        """Write the entry at once; if that fails, `announce` retries it.

        If the entry may have lapsed, fence the jobs first; also after the write, if the write took long.
        """
        await self._fence_if_lapsed()
        began = self._clock()
        state = self._node.state()
        meters.LOAD.set(state.load)
        if not await self._registry.announce(state):
            return False
        await self._fence_if_lapsed()
        meters.RENEWAL_GAP_SECONDS.observe(max(0.0, began - self._lease.renewed))
        self._lease = self._lease.renew(began)
        return True

    async def delete_entry(self) -> None:
        """Delete the entry: the node stops."""
        await self._registry.delete(self._node.facts.node_id)

    async def _fence_if_lapsed(self) -> bool:
        async with self._fencing:
            now = self._clock()
            if not self._lease.may_have_lapsed(now):
                return False
            log.warning("node.was_away", seconds=round(now - self._lease.renewed))
            await self._node.fence()
            self._lease = replace(self._lease, fenced=self._clock())
            return True
