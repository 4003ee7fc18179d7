"""The live nodes, sorted by rank: one choice among 10,000 costs microseconds."""

from bisect import bisect_left, insort
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TypeVar

from contracts.end_reasons import EndReason
from contracts.registry import NodeState
from scheduler.domain.placement import Rank, has_free_slot, rank
from scheduler.domain.suspension import Suspension

_T = TypeVar("_T", Rank, tuple[int, str])


@dataclass(slots=True)
class RankedNode:
    """One live node.

    Attributes:
        placed: The sessions whose job is there.
        is_full: It refused a job as full since its last report.
        rank: Its place in the ranking; None: it cannot take a job.
        counted: Whether it is counted as not draining, and as having a free slot.
    """

    state: NodeState
    placed: set[str] = field(default_factory=set[str])
    is_full: bool = False
    rank: Rank | None = None
    counted: tuple[bool, bool] = (False, False)

    @property
    def pending(self) -> int:
        """Sessions placed here that the node does not list yet; a node that refused a job counts as full."""
        if self.is_full:
            return self.state.slots
        return len(self.placed - {job.session_id for job in self.state.jobs}) if self.placed else 0


class Ranking:
    """The order in which nodes get jobs; suspended nodes come last, one start at a time.

    Attributes:
        suspensions: Of nodes on which starts failed.
        unable: Nodes that cannot take a job.
    """

    def __init__(self, max_load: float) -> None:
        self.suspensions: dict[str, Suspension] = {}
        self.max_load = max_load
        self.unable: dict[str, None] = {}  # in the order of their reports
        self._able: list[Rank] = []
        self._able_in: dict[str, list[Rank]] = {}
        self._able_suspended: list[tuple[int, str]] = []  # (until, node id)
        self._open = self._with_slot = 0  # nodes that do not drain, and those of them with a free slot

    def add(self, entry: RankedNode) -> None:
        """Rank a node."""
        state, pending = entry.state, entry.pending
        self._count(entry, (not state.draining, has_free_slot(state, pending)))
        entry.rank = rank(state, pending, max_load=self.max_load)
        if entry.rank is None:
            self.unable[state.node_id] = None
            return
        if known := self.suspensions.get(state.node_id):
            insort(self._able_suspended, (known.until_ms, state.node_id))
            return
        insort(self._able, entry.rank)
        if state.region is not None:
            insort(self._able_in.setdefault(state.region, []), entry.rank)

    def remove(self, entry: RankedNode) -> None:
        """Take a node out, before its state, its jobs or its suspension change."""
        self._count(entry, (False, False))
        former, entry.rank = entry.rank, None
        if former is None:
            self.unable.pop(entry.state.node_id, None)
            return
        if known := self.suspensions.get(entry.state.node_id):
            _remove(self._able_suspended, (known.until_ms, entry.state.node_id))
            return
        _remove(self._able, former)
        if entry.state.region is not None:
            _remove(self._able_in[entry.state.region], former)

    def first(self, region: str | None, tried: Collection[str], just_failed: Collection[str]) -> str | None:
        """The first node of the region, else of all; a tried one only if no other is able, none of `just_failed`."""
        local = self._able_in.get(region, []) if region is not None else []
        avoided: str | None = None
        for ranks in (local, self._able):
            for _, _, node_id in ranks:
                if node_id in just_failed:
                    continue
                if node_id not in tried:
                    return node_id
                avoided = avoided or node_id
        return avoided

    def first_suspended(self, just_failed: Collection[str], now_ms: int) -> str | None:
        """The suspended node whose pause expired first; None while all are paused."""
        for until_ms, node_id in self._able_suspended:
            if until_ms > now_ms:
                return None
            if node_id not in just_failed:
                return node_id
        return None

    def leading(self, region: str | None, most: int) -> list[str]:
        """The first nodes of the region, then of all; each once, at most `most`, without suspended ones."""
        local = self._able_in.get(region, []) if region is not None else []
        return [*dict.fromkeys(node_id for _, _, node_id in (*local[:most], *self._able[:most]))][:most]

    def suspended(self, most: int) -> list[str]:
        """Suspended nodes that could take a job, in the order in which their pauses expire."""
        return [node_id for _, node_id in self._able_suspended[:most]]

    def can_take_one(self, now_ms: int) -> bool:
        """Whether some node can take a job now."""
        return bool(self._able) or (bool(self._able_suspended) and self._able_suspended[0][0] <= now_ms)

    def next_trial_ms(self) -> int | None:
        """When the next suspended node may be tried; None while another node is able, or if there is none."""
        return self._able_suspended[0][0] if self._able_suspended and not self._able else None

    def why_none(self) -> EndReason:
        """Why no live node was chosen."""
        if self._able:
            return EndReason.NO_OTHER_NODE
        if self._able_suspended:
            return EndReason.NODES_FAILING
        if not self._open:
            return EndReason.NODES_DRAINING
        return EndReason.NODES_OVERLOADED if self._with_slot else EndReason.NO_CAPACITY

    def _count(self, entry: RankedNode, counts: tuple[bool, bool]) -> None:
        self._open += counts[0] - entry.counted[0]
        self._with_slot += counts[1] - entry.counted[1]
        entry.counted = counts


def _remove(ranks: list[_T], rank: _T) -> None:
    del ranks[bisect_left(ranks, rank)]
