"""Which of the nodes that look gone count as lost, and when there are too many of them to believe it: pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

LEAST_NODES = 3
MOST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Judgement:
    """What is known about the nodes that are missing. Times are on the log's clock, ms.

    Attributes:
        ended_ms: When each node's entry ended that has not come back since.
        held: The nodes that the brake holds back.
        held_until_ms: Until when.
    """

    ended_ms: Mapping[str, int]
    held: frozenset[str] = frozenset()
    held_until_ms: int = 0

    def ended(self, node_id: str, now_ms: int) -> "Judgement":
        """A node's entry ended, and not because the node left with no job."""
        return replace(self, ended_ms={**self.ended_ms, node_id: now_ms})

    def back(self, node_id: str) -> "Judgement":
        """A node is there."""
        if node_id not in self.ended_ms and node_id not in self.held:
            return self
        ended_ms = {name: at_ms for name, at_ms in self.ended_ms.items() if name != node_id}
        return replace(self, ended_ms=ended_ms, held=self.held - {node_id})


def judge(
    gone: Collection[str], alive: int, known: Judgement, now_ms: int, lease_ms: int
) -> tuple[frozenset[str], Judgement]:
    """Say which nodes are lost now.

    More than a tenth of the fleet, and at least three nodes, within one lease is more likely a fault between them and
    us than their death, and a take-over of calls that go on would harm each of them. Such nodes are held back for a
    lease, and lost if they are gone by then, too. Kubernetes' node controller has the same brake, at 55 % of a zone.

    Args:
        gone: The nodes that a look at their key and a probe did not find just now.
        alive: The nodes that are there.
        known: What was known before.
    """
    if now_ms < known.held_until_ms:
        return frozenset(), known
    lost = known.held & frozenset(gone)
    suspects = frozenset(gone) - lost
    ended_ms = {name: at_ms for name, at_ms in known.ended_ms.items() if now_ms - at_ms <= lease_ms}
    missing = suspects | ended_ms.keys()
    after = Judgement(ended_ms)
    if suspects and is_mass_loss(len(missing), alive):
        return lost, replace(after, held=suspects, held_until_ms=now_ms + lease_ms)
    return lost | suspects, after


def is_mass_loss(missing: int, alive: int) -> bool:
    """Whether so many went at once that it is not to be believed at once."""
    return missing >= LEAST_NODES and missing > MOST_SHARE * (missing + alive)
