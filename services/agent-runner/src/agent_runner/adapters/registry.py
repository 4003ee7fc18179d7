"""The node's entry in the key-value bucket `nodes`."""

from __future__ import annotations

from typing import Final

from chassis.nats import Bus, BusUnavailable, PublishRefused
from contracts.registry import NodeState
from contracts.streams import NODES

from chassis import logs

_DEADLINE_S: Final = 4.0  # below the renewal's 5 s

log = logs.get_logger(__name__)


class BusRegistry:
    """Writes with the bucket's TTL of 15 s."""

    def __init__(self, bus: Bus) -> None:
        self._nodes = bus.bucket(NODES)

    async def announce(self, state: NodeState) -> bool:
        """Renew the entry, or make it again."""
        try:
            await self._nodes.put(state.node_id, state.model_dump_json().encode(), deadline_s=_DEADLINE_S)
        except (BusUnavailable, PublishRefused) as error:
            log.warning("registry.unavailable", error=str(error))
            return False
        return True

    async def withdraw(self, node_id: str) -> None:
        """Take the entry away; if that fails it expires."""
        try:
            await self._nodes.delete(node_id, deadline_s=_DEADLINE_S)
        except (BusUnavailable, PublishRefused) as error:
            log.warning("registry.unavailable", error=str(error))
