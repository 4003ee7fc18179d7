"""When to restart a process that died."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RestartPolicy:
    """Limited restarts with doubling back-off.

    Attributes:
        first_s: Wait before the first restart.
        longest_s: Longest wait.
        most: Restarts within `window_s`; the next death is final.
        window_s: After running this long, earlier deaths no longer count.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    most: int = 5
    window_s: float = 60.0

    def delay_s(self, deaths_s: Sequence[float]) -> float | None:
        """Seconds until the next start; None when no restart is left.

        Args:
            deaths_s: Times of all its deaths on a monotonic clock, in order; the last is now.
        """
        recent = sum(1 for death in deaths_s if deaths_s[-1] - death < self.window_s)
        if recent > self.most:
            return None
        return min(self.first_s * 2.0 ** (recent - 1), self.longest_s)
