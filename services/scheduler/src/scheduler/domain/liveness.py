"""Which missing nodes are lost, and when too many are missing at once to believe it. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

LEAST_NODES = 3
MOST_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Judgement:
    """The missing nodes. Times are on the log's clock, ms.

    Attributes:
        ended_ms: Node -> when its key expired; nodes that came back are removed.
        held: Nodes that the brake holds back.
        held_until_ms: When the brake is released.
    """

    ended_ms: Mapping[str, int]
    held: frozenset[str] = frozenset()
    held_until_ms: int = 0

    def ended(self, node_id: str, now_ms: int) -> "Judgement":
        """Note that a node's key expired; not for a node that drained and left."""
        return replace(self, ended_ms={**self.ended_ms, node_id: now_ms})

    def back(self, node_id: str) -> "Judgement":
        """Note that a node is back."""
        if node_id not in self.ended_ms and node_id not in self.held:
            return self
        ended_ms = {name: at_ms for name, at_ms in self.ended_ms.items() if name != node_id}
        return replace(self, ended_ms=ended_ms, held=self.held - {node_id})


def judge(
    gone: Collection[str], alive: int, known: Judgement, now_ms: int, lease_ms: int
) -> tuple[frozenset[str], Judgement]:
    """Decide which nodes are lost now.

    The loss of more than a tenth of the fleet, and at least three nodes, within one lease is more likely a network
    fault than their death, and taking over calls that go on would harm each of them. Such nodes are held back for one
    lease, and are lost if they are still gone then. Kubernetes' node controller has the same brake, at 55 % of a zone.

    Args:
        gone: Nodes whose key is missing and that did not answer a probe just now.
        alive: How many nodes are alive.
        known: The former judgement.
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
    """Whether so many nodes are missing at once that a network fault is more likely."""
    return missing >= LEAST_NODES and missing > MOST_SHARE * (missing + alive)
