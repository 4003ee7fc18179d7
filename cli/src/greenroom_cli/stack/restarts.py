"""When to restart a process that died."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class RestartPolicy:
    """Limited restarts with doubling back-off.

    Attributes:
        first_s: Wait before the first restart.
        longest_s: Longest wait.
        most: Restarts in a row; the next death is final.
        window_s: A run that was ready for this long ends a row: earlier deaths no longer count.
    """

    first_s: float = 0.5
    longest_s: float = 8.0
    most: int = 5
    window_s: float = 60.0

    def delay_s(self, runs_s: Sequence[float]) -> float | None:
        """Seconds until the next start; None when no restart is left.

        Args:
            runs_s: For how long each run was ready until it died, in order; 0 for one that was never ready.
        """
        row = next((n for n, run_s in enumerate(reversed(runs_s), 1) if run_s >= self.window_s), len(runs_s))
        if row > self.most:
            return None
        return min(self.first_s * 2.0 ** (row - 1), self.longest_s)
