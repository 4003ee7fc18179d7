"""Why /ready answers 503: an unavailable store, or messages that the log dropped before billing read them."""

from collections.abc import Callable
from typing import Final

from billing.ports import LogUnavailable, Unavailable
from chassis import metrics

_GAP_SHOWS_S: Final = 600.0

_UNAVAILABLE: Final = metrics.counter("billing_unavailable_total", "Attempts that found a store away", ("store",))


class Readiness:
    """The follower's health check.

    Attributes:
        trouble: What prevents settlements now; None while they succeed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._gap: tuple[float, str] | None = None
        self.trouble: str | None = "the log is not read yet"

    def unavailable(self, error: Unavailable) -> None:
        _UNAVAILABLE.labels("log" if isinstance(error, LogUnavailable) else "ledger").inc()
        self.trouble = str(error)

    def gap(self, reason: str) -> None:
        """Report a gap in the log as a reason for ten minutes."""
        self._gap = self._clock(), reason

    async def reason(self) -> str | None:
        if self._gap is not None and self._clock() - self._gap[0] < _GAP_SHOWS_S:
            return self._gap[1]
        return self.trouble
