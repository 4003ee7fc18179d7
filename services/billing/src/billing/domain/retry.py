"""When to try again after failures: 0.5 s, doubling to 15 s."""

from dataclasses import dataclass
from typing import Final

FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 15.0


@dataclass(frozen=True)
class Retry:
    """The failures in a row of one piece of work.

    Attributes:
        at: The earliest time of the next attempt, on the caller's monotonic clock.
    """

    failures: int = 0
    at: float = 0.0

    def failed(self, now: float) -> "Retry":
        return Retry(self.failures + 1, now + min(_LAST_RETRY_S, FIRST_RETRY_S * 2 ** min(self.failures, 10)))
