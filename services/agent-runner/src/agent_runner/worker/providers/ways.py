"""The models and endpoints of the language model, and which one is asked next after a failure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from agent_runner.endpoints import Endpoint
from agent_runner.worker.providers.llm_errors import Fault

_REPEATS: Final = 2  # requests to one way, for one answer


@dataclass(frozen=True, slots=True)
class Way:
    """A model at an endpoint."""

    endpoint: Endpoint
    model: str


class Ways:
    """The ways to an answer, in the order in which they are asked. The one that answered last stays the first."""

    def __init__(self, ways: Iterable[Way]) -> None:
        self._ways = list(ways)

    @property
    def first(self) -> Way:
        return self._ways[0]

    def is_only(self, way: Way) -> bool:
        return self._ways == [way]

    def untried(self, tried: Counter[Way]) -> list[Way]:
        return [way for way in self._ways if not tried[way]]

    def strike(self, way: Way, fault: Fault, tried: Counter[Way]) -> bool:
        """Move the next way to the front; return False when this answer has no way left.

        Args:
            tried: This answer's requests to each way, this one included.
        """
        if fault == "refused":
            left = [other for other in self._ways if other.endpoint != way.endpoint]
        elif fault == "model_gone":
            left = [other for other in self._ways if other != way]
        else:
            untried = self.untried(tried)
            if tried[way] < _REPEATS and (fault == "unwell" or not untried):
                return True
            self._ways = untried + [other for other in self._ways if tried[other]]
            return bool(untried)
        self._ways = left or [way]
        return any(tried[other] < _REPEATS for other in left)
