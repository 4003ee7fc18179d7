"""Which node runs a job: a sorted view of the live nodes, so that one choice among 10,000 costs microseconds."""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.end_reasons import EndReason
from contracts.registry import NodeState

from scheduler.domain import suspects
from scheduler.domain.suspects import Suspect


class NoPlace(Exception):
    """No node can take the job now.

    Attributes:
        reason: `no_nodes` (none is alive), `nodes_draining` (all are), `nodes_overloaded` (some have a free slot, but
            their load is at the limit), `no_capacity` (all are full), `no_other_node` (only those that just failed
            this session could), `nodes_failing` (only those on which other starts failed, and their pause lasts).
    """

    def __init__(self, reason: EndReason) -> None:
        super().__init__(reason)
        self.reason = reason


_Rank = tuple[bool, float, str]
_T = TypeVar("_T", _Rank, tuple[int, str])


@dataclass(slots=True)
class _Entry:
    """One live node.

    Attributes:
        placed: The sessions whose job is there.
        is_full: It refused a job for want of a slot since its last report.
        rank: How it stands among those that can take a job; None: it cannot.
        counted: Whether it is counted as not draining, and as having a free slot.
    """

    state: NodeState
    placed: set[str] = field(default_factory=set[str])
    is_full: bool = False
    rank: _Rank | None = None
    counted: tuple[bool, bool] = (False, False)

    @property
    def pending(self) -> int:
        """Sessions placed here that the node does not list yet."""
        return len(self.placed - {job.session_id for job in self.state.jobs}) if self.placed else 0

    @property
    def busy(self) -> int:
        return max(self.state.busy, len(self.state.jobs)) + self.pending

    @property
    def has_free_slot(self) -> bool:
        return not self.state.draining and not self.is_full and self.busy < self.state.slots


class Fleet:
    """The live nodes, with what was placed on them since they last spoke.

    A node reports itself each second and at each change; between two reports the sessions placed on it are counted
    here, so that a burst does not pile up on the node that was the emptiest at its start.
    """

    def __init__(self, max_load: float = 0.7, trial_ms: int = 5_000) -> None:
        """Start empty.

        Args:
            max_load: Share of the CPU, 0..1, from which on a node takes no more jobs. 0.7 is livekit-agents'
                production `load_threshold`: a late answer beats a broken call.
            trial_ms: How long a node that failed has for the one start that it is tried with.
        """
        self._max_load = max_load
        self._trial_ms = trial_ms
        self._nodes: dict[str, _Entry] = {}
        self._placed_on: dict[str, str] = {}
        self._room_on: dict[str, str] = {}  # sessions for which a worker waits in the room
        self._waiting_for: dict[str, set[str]] = {}  # placed on nodes that are not alive (yet)
        self._able: list[_Rank] = []
        self._able_in: dict[str, list[_Rank]] = {}
        self._suspects: dict[str, Suspect] = {}
        self._able_suspects: list[tuple[int, str]] = []  # until when it rests, node id
        self._open = self._with_slot = 0  # nodes that do not drain, and those of them with a free slot

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def states(self) -> Iterator[NodeState]:
        """The live nodes as they last described themselves."""
        return (entry.state for entry in self._nodes.values())

    def report(self, state: NodeState, now_ms: int = 0) -> None:
        """A node described itself."""
        known = self._nodes.get(state.node_id)
        suspect = self._suspects.get(state.node_id)
        restarted = known is not None and known.state.started_at != state.started_at
        if suspect is not None and (restarted or suspects.is_forgiven(suspect, now_ms)):
            self._suspect(state.node_id, None)
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
        self._suspects.pop(node_id, None)  # should it come back, it was restarted or was cut off
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

    # --- nodes that fail

    def failed(self, node_id: str, now_ms: int) -> Suspect:
        """A start failed on this node: it rests, and is then tried with one start at a time until one succeeds."""
        suspect = suspects.after_failure(self._suspects.get(node_id), now_ms)
        self._suspect(node_id, suspect)
        return suspect

    def proved(self, node_id: str, at_ms: int) -> None:
        """An agent of this node got ready at that time."""
        suspect = self._suspects.get(node_id)
        if suspect is not None and at_ms >= suspect.failed_ms:
            self._suspect(node_id, None)

    def refused(self, node_id: str) -> None:
        """The node has no slot after all: it gets no job before its next report."""
        if entry := self._nodes.get(node_id):
            self._unrank(entry)
            entry.is_full = True
            self._rank(entry)

    def resting(self, now_ms: int) -> set[str]:
        """The nodes that get no start now because others failed there."""
        return {node_id for node_id, suspect in self._suspects.items() if now_ms < suspect.rests_until_ms}

    def can_take_one(self, now_ms: int) -> bool:
        """Whether some node can take a job now."""
        return bool(self._able) or (bool(self._able_suspects) and self._able_suspects[0][0] <= now_ms)

    def next_trial_ms(self) -> int | None:
        """When the next of the failing nodes may be tried; None while another can take a job, or none ever."""
        return self._able_suspects[0][0] if self._able_suspects and not self._able else None

    def _suspect(self, node_id: str, suspect: Suspect | None) -> None:
        entry = self._nodes.get(node_id)
        if entry:
            self._unrank(entry)
        if suspect is None:
            self._suspects.pop(node_id, None)
        else:
            self._suspects[node_id] = suspect
        if entry:
            self._rank(entry)

    # --- the choice

    def choose(
        self,
        *,
        session_id: str = "",
        region: str | None = None,
        tried: Collection[str] = (),
        resting: Collection[str] = (),
        now_ms: int = 0,
    ) -> NodeState:
        """Choose the node for one job: the session's region first, then a warm worker, then the least loaded.

        Before all of them comes the node whose worker waits in the session's room already. Only when none of these
        can take the job is a failing node tried that has rested long enough; choosing it begins its trial.

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
        if (
            waiting is not None
            and waiting.rank is not None
            and waiting.state.node_id not in (*tried, *resting)
            and waiting.state.node_id not in self._suspects
        ):
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
        found = avoided or self._try_suspect(resting, now_ms)
        if found is None:
            raise NoPlace(self._why_none())
        return found

    def _try_suspect(self, resting: Collection[str], now_ms: int) -> NodeState | None:
        for until_ms, node_id in self._able_suspects:
            if until_ms > now_ms:
                return None
            if node_id not in resting:
                self._suspect(node_id, suspects.on_trial(self._suspects[node_id], now_ms, self._trial_ms))
                return self._nodes[node_id].state
        return None

    def _forget_rooms(self, state: NodeState) -> None:
        for session_id in state.rooms:
            if self._room_on.get(session_id) == state.node_id:
                del self._room_on[session_id]

    def _why_none(self) -> EndReason:
        if self._able:
            return EndReason.NO_OTHER_NODE
        if self._able_suspects:
            return EndReason.NODES_FAILING
        if not self._nodes:
            return EndReason.NO_NODES
        if not self._open:
            return EndReason.NODES_DRAINING
        return EndReason.NODES_OVERLOADED if self._with_slot else EndReason.NO_CAPACITY

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
        state, busy, has_free_slot = entry.state, entry.busy, entry.has_free_slot
        entry.counted = (not state.draining, has_free_slot)
        self._count(entry, 1)
        if not has_free_slot or state.load >= self._max_load:
            return
        cold = state.warm - entry.pending <= 0
        in_use = min(1.0, (busy + len(state.rooms)) / state.slots)
        entry.rank = (cold, max(state.load, in_use), state.node_id)
        if suspect := self._suspects.get(state.node_id):
            insort(self._able_suspects, (suspect.rests_until_ms, state.node_id))
            return
        insort(self._able, entry.rank)
        if state.region is not None:
            insort(self._able_in.setdefault(state.region, []), entry.rank)

    def _unrank(self, entry: _Entry) -> None:
        self._count(entry, -1)
        rank, entry.rank = entry.rank, None
        if rank is None:
            return
        if suspect := self._suspects.get(entry.state.node_id):
            _remove(self._able_suspects, (suspect.rests_until_ms, entry.state.node_id))
            return
        _remove(self._able, rank)
        if entry.state.region is not None:
            _remove(self._able_in[entry.state.region], rank)

    def _count(self, entry: _Entry, by: int) -> None:
        is_open, has_free_slot = entry.counted
        self._open += by * is_open
        self._with_slot += by * has_free_slot


def _remove(ranks: list[_T], rank: _T) -> None:
    del ranks[bisect_left(ranks, rank)]
