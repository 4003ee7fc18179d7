"""What the scheduler says about the nodes that it looked at for a session, in words."""

from collections.abc import Collection
from typing import Final

from contracts.events import MOST_CONSIDERED, Considered
from scheduler.domain.fleet import Fleet
from scheduler.domain.ranking import RankedNode
from scheduler.domain.suspension import Suspension

_MOST_PASSED: Final = 3  # fewer able nodes than this are left out to make place for refused ones


def considered(
    fleet: Fleet,
    chosen: str | None,
    *,
    session_id: str = "",
    region: str | None = None,
    tried: Collection[str] = (),
    just_failed: Collection[str] = (),
    now_ms: int = 0,
    has_sealed: bool = False,
) -> tuple[Considered, ...]:
    """The chosen node, the next ones in the ranking, and some that cannot take the job; at most 8 of any fleet.

    Args:
        chosen: The node's id, before or after `Fleet.count_on`; None: no node is chosen.
        session_id: This and the other arguments are as in `Fleet.choose`.
        has_sealed: The call has sealed words, which older nodes cannot read.
    """
    ranking, most = fleet.ranking, MOST_CONSIDERED
    first = [] if chosen is None else [chosen]
    able = ranking.leading(region, most)
    others = [*ranking.suspended(most), *_some(ranking.unable, most)]
    wanted = dict.fromkeys((*first, *able[: _MOST_PASSED + 1], *others, *able))
    found: list[Considered] = []
    for node_id in [*wanted][:most]:
        suspension = ranking.suspensions.get(node_id)
        if (entry := fleet.nodes.get(node_id)) is None:  # the chosen one was lost since
            continue
        if node_id == chosen:
            verdict, why = "chosen", _merits(entry, own=session_id in entry.placed)
            if fleet.room_on.get(session_id) == node_id:
                why = "its worker waits in the room"
        elif (refusal := _refusal(entry, suspension, ranking.max_load, just_failed, now_ms)) is not None:
            verdict, why = "refused", refusal
        else:
            verdict, why = "passed", _passed(entry, region, tried)
            if has_sealed and node_id in fleet.older:
                why = f"an older version, which cannot read the conversation; {_merits(entry)}"
        found.append(Considered(node_id=node_id, verdict=verdict, why=why))
    return tuple(found)


def _refusal(
    entry: RankedNode, suspension: Suspension | None, max_load: float, just_failed: Collection[str], now_ms: int
) -> str | None:
    state = entry.state
    if state.draining:
        return "draining"
    if entry.is_full:
        return "refused: full"
    busy = max(state.busy, len(state.jobs)) + entry.pending
    if busy >= state.slots:
        return f"full: {busy} of {state.slots} jobs"
    if state.load >= max_load:
        return f"load {state.load:.2f} over {max_load:g}"
    if state.node_id in just_failed:
        return "just failed to start this session"
    if suspension is None:
        return None
    why = f" (refused: {suspension.failure})" if suspension.failure else ""
    if now_ms < suspension.until_ms:
        return f"suspended for another {(suspension.until_ms - now_ms) / 1000:.1f} s after a failed start{why}"
    return f"a start failed on it{why}: tried only if no other node can take the call"


def _passed(entry: RankedNode, region: str | None, tried: Collection[str]) -> str:
    state = entry.state
    if state.node_id in tried:
        return f"had this call before; {_merits(entry)}"
    if region is not None and state.region != region:
        return f"other region: {state.region or 'none'}; {_merits(entry)}"
    return _merits(entry)


def _merits(entry: RankedNode, *, own: bool = False) -> str:
    """`own`: the job is counted on the node already."""
    warm = entry.state.warm - max(0, entry.pending - own)
    workers = "no warm worker" if warm <= 0 else "1 warm worker" if warm == 1 else f"{warm} warm workers"
    return f"{workers}, load {entry.state.load:.2f}"


def _some(ids: dict[str, None], most: int) -> list[str]:
    return [node_id for node_id, _ in zip(ids, range(most), strict=False)]
