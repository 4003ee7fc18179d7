"""Prejoined rooms: how many to add or retire, and on which node. Pure."""

from collections.abc import Collection, Iterable, Sequence

from contracts.registry import NodeState, PrejoinedRoom

CLAIM_MS = 10_000
"""Most time from the claim of a room's key to its session's `requested`; the gateway gives a start 8 s."""

REFILL_MS = 1_000
"""Pause before a claimed room is replaced: the call that begins has the processors to itself."""


def missing(size: int, *, ready: int, joining: int) -> int:
    """How many rooms to join now; rooms being joined count, so that there are never more than `size`."""
    return max(0, size - ready - joining)


def surplus(size: int, ready: Sequence[PrejoinedRoom]) -> list[PrejoinedRoom]:
    """The rooms above `size` (a former leader's, or of a larger setting), those that expire first."""
    return sorted(ready, key=lambda room: room.expires_at)[: max(0, len(ready) - size)]


def choose_node(nodes: Iterable[NodeState], busy: Collection[str], *, max_load: float) -> NodeState | None:
    """Choose the node for one more room: a free slot, the fewest rooms, then a warm worker.

    Rooms are spread over the nodes, so that the loss of one node loses few rooms.

    Args:
        busy: Nodes that failed recently or are joining a room now; one at a time, since calls need the CPU.
        max_load: Share of CPU at which a node gets no room.

    Returns:
        None when no node has room.
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
