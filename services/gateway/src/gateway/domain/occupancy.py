"""How many sessions there are, seen from NATS alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.events import Event, JobAssigned, SessionEnded, SessionQueued
from contracts.registry import NodeState, Slot

from gateway.domain.read_model import Status


@dataclass(frozen=True)
class Occupancy:
    """Sessions that are not over."""

    active: int = 0
    starting: int = 0
    queued: int = 0


def from_read_model(counts: Mapping[Status, int]) -> Occupancy:
    """What the read model counted: with an agent in the room, on the way there, and waiting for a slot."""
    return Occupancy(
        active=counts.get(Status.READY, 0) + counts.get(Status.ACTIVE, 0),
        starting=counts.get(Status.REQUESTED, 0) + counts.get(Status.STARTING, 0),
        queued=counts.get(Status.QUEUED, 0),
    )


def from_registry(slots: Iterable[Slot], nodes: Iterable[NodeState], recent: Iterable[Event]) -> Occupancy:
    """The same without the read model, nearly: whose process runs counts as active, though it may not have joined yet.

    Args:
        recent: The `queued`, `assigned` and `ended` of the last queue deadline; nobody waits longer.
    """
    placed = {slot.session_id for slot in slots}
    running = {job.session_id for node in nodes for job in node.jobs if job.pid > 0}
    queued: set[str] = set()
    gone: set[str] = set()
    for event in recent:
        if isinstance(event, SessionQueued):
            queued.add(event.session_id)
        elif isinstance(event, JobAssigned | SessionEnded):
            gone.add(event.session_id)
    return Occupancy(active=len(placed & running), starting=len(placed - running), queued=len(queued - gone - placed))


def ready_agents(nodes: Iterable[NodeState], rooms: Iterable[str]) -> frozenset[str]:
    """The members of `pool:ready`, one for each agent that waits for its caller.

    Args:
        rooms: The sessions whose room an agent has joined ahead; each is a member itself.

    Returns:
        These, and `<node id>:<n>` with n from 0 for the warm workers of each node that takes jobs. A node's id holds
        no colon, so no two members are the same.
    """
    workers = (f"{node.node_id}:{n}" for node in nodes if not node.draining for n in range(node.warm))
    return frozenset(workers) | frozenset(rooms)
