"""The log's clock, kept without asking anybody's wall clock."""


class LogClock:
    """Estimates the bus' time from the timestamps of messages and a monotonic clock.

    A message is never from the future, so its timestamp is a lower bound of the bus' time at its receipt; the greatest
    such bound, carried on by the monotonic clock, is late by no more than the fastest delivery took.
    So a scheduler whose wall clock is minutes off still ends its waits on time.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether any timestamp was seen."""
        return self._offset_ms is not None

    def observe(self, stored_ms: int, monotonic_s: float) -> None:
        """A message with this timestamp was received now."""
        offset = stored_ms - monotonic_s * 1000
        if self._offset_ms is None or offset > self._offset_ms:
            self._offset_ms = offset

    def now_ms(self, monotonic_s: float) -> int:
        """The bus' time, Unix ms; 0 before anything was observed."""
        return 0 if self._offset_ms is None else round(monotonic_s * 1000 + self._offset_ms)
