"""Where a job runs: a warm worker first, then the least loaded node; never a full, draining or overloaded one."""

from typing import NamedTuple

from contracts.end_reasons import EndReason
from contracts.registry import NodeState


class NoPlace(Exception):
    """No node can take the job now.

    Attributes:
        reason: `no_nodes` (none is alive), `nodes_draining` (all are), `nodes_overloaded` (some have a free slot, but
            their load is at the limit), `no_capacity` (all are full), `no_other_node` (only nodes that just failed
            this session are able), `nodes_failing` (only suspended nodes are able).
    """

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason)
        self.reason = reason


class Rank(NamedTuple):
    """A node's sort key; the least is chosen.

    Attributes:
        load: The greater of the CPU's share and the share of slots in use, 0..1.
    """

    is_cold: bool
    load: float
    node_id: str


def has_free_slot(node: NodeState, pending: int) -> bool:
    """Whether the node accepts one more job."""
    return not node.draining and _busy(node, pending) < node.slots


def rank(node: NodeState, pending: int, *, max_load: float) -> Rank | None:
    """Rank a node for one more job; None: it cannot take one.

    Args:
        pending: Jobs placed on the node that it does not list yet.
        max_load: Share of the CPU, 0..1, at which a node takes no more jobs.
    """
    busy = _busy(node, pending)
    if node.draining or busy >= node.slots or node.load >= max_load:
        return None
    in_use = min(1.0, (busy + len(node.rooms)) / node.slots)
    return Rank(node.warm - pending <= 0, max(node.load, in_use), node.node_id)


def _busy(node: NodeState, pending: int) -> int:
    return max(node.busy, len(node.jobs)) + pending
