"""When a process that died is started again."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RestartPolicy:
    """Bounded, doubling back-off.

    Attributes:
        first_s: Wait before the first restart.
        longest_s: Longest wait.
        most: Restarts within `window_s` before it is given up.
        window_s: A process that has lived this long since has a clean slate.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    most: int = 5
    window_s: float = 60.0

    def delay_s(self, deaths_s: Sequence[float]) -> float | None:
        """How long to wait before the next start; None when the process is given up.

        Args:
            deaths_s: Times of all its deaths on a monotonic clock, in order, the last being now.
        """
        recent = sum(1 for death in deaths_s if deaths_s[-1] - death < self.window_s)
        if recent > self.most:
            return None
        return min(self.first_s * 2.0 ** (recent - 1), self.longest_s)
