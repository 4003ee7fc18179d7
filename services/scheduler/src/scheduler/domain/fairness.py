"""Who is next: one user's hundred calls do not keep another user's first one waiting."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session that waits for a slot and a node.

    Attributes:
        arrived: Its place in the log.
        holds_slot: A former leader took its slot already.
    """

    session_id: str
    user_id: str
    arrived: int
    holds_slot: bool = False


def fair_order(waiting: Iterable[Waiting], running: Mapping[str, int]) -> list[Waiting]:
    """Order the waiting sessions: round-robin over the users, then by arrival.

    A user's n-th waiting session stands in round n plus the number of that user's sessions that run. So the turn
    goes to whoever has the fewest, and a new leader finds the same order without any memory of earlier turns.

    Args:
        waiting: In any order.
        running: User id -> sessions that hold a slot.
    """
    seen: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int, Waiting]] = []
    for entry in sorted(waiting, key=lambda w: w.arrived):
        ranked.append((not entry.holds_slot, running.get(entry.user_id, 0) + seen[entry.user_id], entry.arrived, entry))
        seen[entry.user_id] += 1
    ranked.sort(key=lambda r: r[:3])
    return [r[3] for r in ranked]
