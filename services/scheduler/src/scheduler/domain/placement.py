"""Which node runs a job: a sorted view of the live nodes, so that one choice among 10,000 costs microseconds."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from contracts.registry import NodeState


class NoPlace(Exception):
    """No node can take the job now.

    Attributes:
        reason: `no_nodes` (none is alive), `nodes_draining` (all are), `nodes_overloaded` (some have a free slot, but
            their load is at the limit), `no_capacity` (all are full), `no_other_node` (only those that just failed
            this session could).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


_Rank = tuple[bool, float, str]


@dataclass(slots=True)
class _Entry:
    state: NodeState
    placed: set[str] = field(default_factory=set[str])
    rank: _Rank | None = None

    @property
    def pending(self) -> int:
        """Sessions placed here that the node does not list yet."""
        return len(self.placed - {job.session_id for job in self.state.jobs}) if self.placed else 0

    @property
    def busy(self) -> int:
        return max(self.state.busy, len(self.state.jobs)) + self.pending


class Fleet:
    """The live nodes, with what was placed on them since they last spoke.

    A node reports itself every 5 s and at each change; between two reports the sessions placed on it are counted
    here, so that a burst does not pile up on the node that was the emptiest at its start.
    """

    def __init__(self, max_load: float = 0.7) -> None:
        """Start empty.

        Args:
            max_load: Share of the CPU, 0..1, from which on a node takes no more jobs. 0.7 is livekit-agents'
                production `load_threshold`: a late answer beats a broken call.
        """
        self._max_load = max_load
        self._nodes: dict[str, _Entry] = {}
        self._placed_on: dict[str, str] = {}
        self._room_on: dict[str, str] = {}  # sessions for which a worker waits in the room
        self._waiting_for: dict[str, set[str]] = {}  # placed on nodes that are not alive (yet)
        self._able: list[_Rank] = []
        self._able_in: dict[str, list[_Rank]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def states(self) -> Iterator[NodeState]:
        """The live nodes as they last described themselves."""
        return (entry.state for entry in self._nodes.values())

    def report(self, state: NodeState) -> None:
        """A node described itself."""
        known = self._nodes.get(state.node_id)
        if known is None:
            entry = _Entry(state, self._waiting_for.pop(state.node_id, set()))
        else:
            self._unrank(known)
            self._forget_rooms(known.state)
            entry = _Entry(state, known.placed)
        self._room_on.update(dict.fromkeys(state.rooms, state.node_id))
        self._nodes[state.node_id] = entry
        self._rank(entry)

    def lose(self, node_id: str) -> bool:
        """A node is gone. False: it was not there."""
        entry = self._nodes.pop(node_id, None)
        if entry is None:
            return False
        self._unrank(entry)
        self._forget_rooms(entry.state)
        if entry.placed:
            self._waiting_for[node_id] = entry.placed
        return True

    def place(self, session_id: str, node_id: str) -> None:
        """A session's job is on this node now, and on no other."""
        if self._placed_on.get(session_id) == node_id:
            return
        self.release(session_id)
        self._placed_on[session_id] = node_id
        self._change(node_id, session_id, add=True)

    def release(self, session_id: str) -> None:
        """A session's job is on no node any more."""
        node_id = self._placed_on.pop(session_id, None)
        if node_id is not None:
            self._change(node_id, session_id, add=False)

    def placed_on(self, node_id: str) -> Collection[str]:
        """The sessions whose job is on this node, alive or not."""
        entry = self._nodes.get(node_id)
        return self._waiting_for.get(node_id, ()) if entry is None else entry.placed

    def missing(self) -> list[str]:
        """The nodes that have jobs and are not alive."""
        return list(self._waiting_for)

    def state(self, node_id: str) -> NodeState | None:
        """The node as it last described itself, if it is alive."""
        entry = self._nodes.get(node_id)
        return None if entry is None else entry.state

    def choose(
        self,
        *,
        session_id: str = "",
        region: str | None = None,
        tried: Collection[str] = (),
        resting: Collection[str] = (),
    ) -> NodeState:
        """Choose the node for one job: the session's region first, then a warm worker, then the least loaded.

        Before all of them comes the node whose worker waits in the session's room already.

        Load is the greater of the CPU's share and the share of slots in use.

        Args:
            session_id: The job's session.
            region: Where the session should run; None when unknown.
            tried: Nodes that had this job before: taken only when no other can.
            resting: Nodes that must not get it now.

        Raises:
            NoPlace: With the reason.
        """
        waiting = self._nodes.get(self._room_on.get(session_id, ""))
        if waiting is not None and waiting.rank is not None and waiting.state.node_id not in (*tried, *resting):
            return waiting.state
        local = self._able_in.get(region, []) if region is not None else []
        avoided: NodeState | None = None
        for ranks in (local, self._able):
            for _, _, node_id in ranks:
                if node_id in resting:
                    continue
                if node_id not in tried:
                    return self._nodes[node_id].state
                avoided = avoided or self._nodes[node_id].state
        if avoided is not None:
            return avoided
        raise NoPlace(self._why_none())

    def _forget_rooms(self, state: NodeState) -> None:
        for session_id in state.rooms:
            if self._room_on.get(session_id) == state.node_id:
                del self._room_on[session_id]

    def _why_none(self) -> str:
        if self._able:
            return "no_other_node"
        if not self._nodes:
            return "no_nodes"
        open_nodes = [entry for entry in self._nodes.values() if not entry.state.draining]
        if not open_nodes:
            return "nodes_draining"
        free = any(entry.busy < entry.state.slots for entry in open_nodes)
        return "nodes_overloaded" if free else "no_capacity"

    def _change(self, node_id: str, session_id: str, *, add: bool) -> None:
        entry = self._nodes.get(node_id)
        placed = entry.placed if entry else self._waiting_for.setdefault(node_id, set())
        if entry:
            self._unrank(entry)
        (placed.add if add else placed.discard)(session_id)
        if entry:
            self._rank(entry)
        elif not placed:
            del self._waiting_for[node_id]

    def _rank(self, entry: _Entry) -> None:
        state, busy = entry.state, entry.busy
        if state.draining or busy >= state.slots or state.load >= self._max_load:
            return
        cold = state.warm - entry.pending <= 0
        in_use = min(1.0, (busy + len(state.rooms)) / state.slots)
        entry.rank = (cold, max(state.load, in_use), state.node_id)
        insort(self._able, entry.rank)
        if state.region is not None:
            insort(self._able_in.setdefault(state.region, []), entry.rank)

    def _unrank(self, entry: _Entry) -> None:
        rank, entry.rank = entry.rank, None
        if rank is None:
            return
        _remove(self._able, rank)
        if entry.state.region is not None:
            _remove(self._able_in[entry.state.region], rank)


def _remove(ranks: list[_Rank], rank: _Rank) -> None:
    del ranks[bisect_left(ranks, rank)]
