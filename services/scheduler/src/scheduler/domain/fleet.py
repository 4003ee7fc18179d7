"""The live nodes, with the jobs placed on them since they last reported."""

from collections.abc import Collection, Iterator

from contracts.end_reasons import EndReason
from contracts.registry import NodeState
from scheduler.domain import suspension
from scheduler.domain.placement import NoPlace
from scheduler.domain.ranking import RankedNode, Ranking
from scheduler.domain.suspension import Suspension


class Fleet:
    """Chooses nodes for jobs.

    A node reports each second and at each change; sessions placed on it between two reports are counted here, so that
    a burst does not pile up on the node that was the emptiest at its start.

    Attributes:
        nodes: The live nodes.
        ranking: Their order.
        room_on: Session -> the node whose worker waits in its room.
        older: The live nodes of a version that neither seals nor opens words.
    """

    def __init__(self, max_load: float = 0.7, trial_ms: int = 5_000) -> None:
        """Begin without nodes.

        Args:
            max_load: Share of the CPU, 0..1, at which a node takes no more jobs. 0.7 is livekit-agents' production
                `load_threshold`: a late answer beats a broken call.
            trial_ms: How long a suspended node has for its one trial start.
        """
        self._trial_ms = trial_ms
        self.nodes: dict[str, RankedNode] = {}
        self._placed_on: dict[str, str] = {}
        self.room_on: dict[str, str] = {}
        self._waiting_for: dict[str, set[str]] = {}  # jobs placed on nodes that are not alive (yet)
        self.ranking = Ranking(max_load)
        self.older: set[str] = set()

    def __len__(self) -> int:
        return len(self.nodes)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self.nodes

    def states(self) -> Iterator[NodeState]:
        """The last reports of the live nodes."""
        return (entry.state for entry in self.nodes.values())

    def state(self, node_id: str) -> NodeState | None:
        """The node's last report; None if it is not alive."""
        entry = self.nodes.get(node_id)
        return None if entry is None else entry.state

    def report(self, state: NodeState, now_ms: int = 0) -> None:
        """Take in a node's report."""
        node_id = state.node_id
        known, suspended = self.nodes.get(node_id), self.ranking.suspensions.get(node_id)
        restarted = known is not None and known.state.started_at != state.started_at
        if suspended is not None and (restarted or suspension.is_forgiven(suspended, now_ms)):
            self._suspend(node_id, None)
        if known is None:
            entry = RankedNode(state, self._waiting_for.pop(node_id, set()))
        else:
            self.ranking.remove(known)
            _remove_rooms(self.room_on, known.state)
            entry = RankedNode(state, known.placed)
        self.room_on.update(dict.fromkeys(state.rooms, node_id))
        self.nodes[node_id] = entry
        self.ranking.add(entry)
        (self.older.discard if state.opens_words else self.older.add)(node_id)

    def lose(self, node_id: str) -> None:
        """Note that a node's key is gone."""
        entry = self.nodes.pop(node_id, None)
        if entry is None:
            return
        self.ranking.remove(entry)
        self.ranking.suspensions.pop(node_id, None)  # if it comes back, it has restarted or was disconnected
        _remove_rooms(self.room_on, entry.state)
        self.older.discard(node_id)
        if entry.placed:
            self._waiting_for[node_id] = entry.placed

    def count_on(self, session_id: str, node_id: str) -> None:
        """Count a session's job on this node, and on no other."""
        if self._placed_on.get(session_id) != node_id:
            self.release(session_id)
            self._placed_on[session_id] = node_id
            self._change(node_id, session_id, add=True)

    def release(self, session_id: str) -> None:
        """Count a session's job on no node."""
        node_id = self._placed_on.pop(session_id, None)
        if node_id is not None:
            self._change(node_id, session_id, add=False)

    def placed_on(self, node_id: str) -> Collection[str]:
        """The sessions whose job is on this node, alive or not."""
        entry = self.nodes.get(node_id)
        return self._waiting_for.get(node_id, ()) if entry is None else entry.placed

    def missing(self) -> list[str]:
        """The nodes that have jobs and are not alive."""
        return list(self._waiting_for)

    def failed(self, node_id: str, now_ms: int, failure: str = "") -> Suspension:
        """Suspend a node on which a start failed: no start for a pause, then one start at a time until one succeeds.

        Args:
            failure: Why the start failed.
        """
        suspended = suspension.after_failure(self.ranking.suspensions.get(node_id), now_ms, failure)
        self._suspend(node_id, suspended)
        return suspended

    def proved(self, node_id: str, at_ms: int) -> None:
        """Clear a node whose agent got ready after its last failure."""
        suspended = self.ranking.suspensions.get(node_id)
        if suspended is not None and at_ms >= suspended.failed_ms:
            self._suspend(node_id, None)

    def refused(self, node_id: str) -> None:
        """Count a node as full until its next report."""
        if entry := self.nodes.get(node_id):
            self.ranking.remove(entry)
            entry.is_full = True
            self.ranking.add(entry)

    def suspended(self, now_ms: int) -> set[str]:
        """The suspended nodes whose pause has not expired."""
        return {node_id for node_id, known in self.ranking.suspensions.items() if now_ms < known.until_ms}

    def can_take_one(self, now_ms: int) -> bool:
        """Whether some node can take a job now."""
        return self.ranking.can_take_one(now_ms)

    def next_trial_ms(self) -> int | None:
        """When the next suspended node may be tried; None while another node is able, or if there is none."""
        return self.ranking.next_trial_ms()

    def choose(
        self,
        *,
        session_id: str = "",
        region: str | None = None,
        tried: Collection[str] = (),
        just_failed: Collection[str] = (),
        now_ms: int = 0,
    ) -> NodeState:
        """Choose the node for one job.

        The order: the node whose worker waits in the session's room; the session's region; the ranking; last a
        suspended node whose pause has expired, which begins its trial.

        Args:
            session_id: The job's session.
            region: Where the session should run; None when unknown.
            tried: Nodes that had this job before: chosen only if no other is able.
            just_failed: Nodes on which this session just failed: they must not get it now.

        Raises:
            NoPlace: With the reason.
        """
        prejoined = self.nodes.get(self.room_on.get(session_id, ""))
        if prejoined is not None and prejoined.rank is not None:
            node_id = prejoined.state.node_id
            if node_id not in tried and node_id not in just_failed and node_id not in self.ranking.suspensions:
                return prejoined.state
        chosen = self.ranking.first(region, tried, just_failed)
        if chosen is None:
            chosen = self.ranking.first_suspended(just_failed, now_ms)
            if chosen is None:
                raise NoPlace(self.ranking.why_none() if self.nodes else EndReason.NO_NODES)
            self._suspend(chosen, suspension.on_trial(self.ranking.suspensions[chosen], now_ms, self._trial_ms))
        return self.nodes[chosen].state

    def _suspend(self, node_id: str, known: Suspension | None) -> None:
        entry = self.nodes.get(node_id)
        if entry:
            self.ranking.remove(entry)
        if known is None:
            self.ranking.suspensions.pop(node_id, None)
        else:
            self.ranking.suspensions[node_id] = known
        if entry:
            self.ranking.add(entry)

    def _change(self, node_id: str, session_id: str, *, add: bool) -> None:
        entry = self.nodes.get(node_id)
        placed = entry.placed if entry else self._waiting_for.setdefault(node_id, set())
        if entry:
            self.ranking.remove(entry)
        (placed.add if add else placed.discard)(session_id)
        if entry:
            self.ranking.add(entry)
        elif not placed:
            del self._waiting_for[node_id]


def _remove_rooms(room_on: dict[str, str], state: NodeState) -> None:
    for session_id in state.rooms:
        if room_on.get(session_id) == state.node_id:
            del room_on[session_id]
