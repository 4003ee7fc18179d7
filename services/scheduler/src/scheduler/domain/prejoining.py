"""Rooms joined ahead: how many to add or take back, and on which node. Pure."""

from collections.abc import Collection, Iterable, Sequence

from contracts.registry import NodeState, PrejoinedRoom

CLAIM_MS = 10_000
"""From a room's key being taken to the `requested` of its session: the gateway gives a start 8 s."""

REFILL_MS = 1_000
"""How long a new room waits after one was taken: the call that begins there has the processors to itself."""


def missing(size: int, *, ready: int, joining: int) -> int:
    """How many rooms to have joined now; those on their way count, so that there are never more than `size`."""
    return max(0, size - ready - joining)


def surplus(size: int, ready: Sequence[PrejoinedRoom]) -> list[PrejoinedRoom]:
    """The rooms above `size`, those that would go first anyway: of a former leader, or of a larger setting."""
    return sorted(ready, key=lambda room: room.expires_at)[: max(0, len(ready) - size)]


def choose_node(nodes: Iterable[NodeState], busy: Collection[str], *, max_load: float) -> NodeState | None:
    """The node for one more room: with a free slot, the fewest rooms, a warm worker if there is one.

    Rooms are spread over the nodes, so that the loss of one takes as few as possible.

    Args:
        busy: Nodes to leave alone: they failed a moment ago, or are joining a room; one at a time, for calls want the
            processors, too.
        max_load: Share of CPU from which on a node gets none.

    Returns:
        None when no node can take one now.
    """
    able = [
        node
        for node in nodes
        if not node.draining
        and node.node_id not in busy
        and node.load < max_load
        and max(node.busy, len(node.jobs)) + len(node.rooms) < node.slots
    ]
    return min(able, key=lambda n: (len(n.rooms), n.warm == 0, n.busy / n.slots, n.node_id), default=None)
