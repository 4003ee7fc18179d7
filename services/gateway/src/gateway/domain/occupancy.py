"""The numbers of open sessions, and the members of `pool:ready`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.events import Event, JobAssigned, SessionEnded, SessionQueued
from contracts.registry import NodeState, Slot
from gateway.domain.read_model import Status


@dataclass(frozen=True)
class Occupancy:
    """Numbers of open sessions."""

    active: int = 0
    starting: int = 0
    queued: int = 0


def from_read_model(counts: Mapping[Status, int]) -> Occupancy:
    """From the read model: an agent in the room, an agent on the way, waiting for a slot."""
    return Occupancy(
        active=counts.get(Status.READY, 0) + counts.get(Status.ACTIVE, 0),
        starting=counts.get(Status.REQUESTED, 0) + counts.get(Status.STARTING, 0),
        queued=counts.get(Status.QUEUED, 0),
    )


def from_registry(slots: Iterable[Slot], nodes: Iterable[NodeState], recent: Iterable[Event]) -> Occupancy:
    """An approximation without the read model: a running process counts as active, even before it has joined.

    Args:
        recent: The `queued`, `assigned` and `ended` events of the last queue deadline, the longest wait in the queue.
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
    """The members of `pool:ready`, one per agent that waits for a caller.

    Args:
        rooms: The session ids of the prejoined rooms; each is a member.

    Returns:
        The rooms, and `<node id>:<n>` with n from 0 for the warm workers of each node that is not draining. Members are
        unique, since a node id contains no colon.
    """
    workers = (f"{node.node_id}:{n}" for node in nodes if not node.draining for n in range(node.warm))
    return frozenset(workers) | frozenset(rooms)
