"""The log's time: the bus' clock without its steps.

JetStream stamps with a server's wall clock. NTP or the restore of a machine may set that clock, and another server
with another clock may lead the stream from one message to the next. Deadlines count real seconds: a step of the clock
must neither end a call nor reject a start.
"""

from collections import deque
from dataclasses import dataclass, replace
from typing import Final

STEP_MS: Final = 2_000
"""Least difference from the expected time that counts as a step of the bus' clock; less is drift, which is followed."""

_STEPS: Final = 64  # an older step concerns only records that are never read again


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of the stream leader's clock.

    Attributes:
        bus_ms: Its time, Unix ms.
        last_seq: The stream's last sequence then.
        asked_s: Our monotonic clock before the request.
        answered_s: Our monotonic clock after the reply.
    """

    bus_ms: int
    last_seq: int
    asked_s: float
    answered_s: float


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the clock by `delta_ms` between two readings.

    Attributes:
        after_seq: Records up to it were stamped before the step.
        until_seq: Records behind it were stamped after the step.
        since_ms: The log's time at the first reading.
        until_ms: The log's time at the second reading.
    """

    delta_ms: float
    after_seq: int
    until_seq: int
    since_ms: float
    until_ms: float

    def is_within(self, at_ms: float) -> bool:
        return self.since_ms - STEP_MS / 2 <= at_ms <= self.until_ms + STEP_MS / 2


class LogClock:
    """Computes the log's time from readings of the bus' clock and a monotonic clock, and places records in it.

    The log's time begins with the bus' time at the first reading and never steps; the steps since are kept apart.
    Make one for each process, not for each term: a standby sees the steps, too.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None  # the log's time minus the monotonic clock's
        self._set_ms = 0.0  # all the steps together
        self._steps: deque[_Step] = deque(maxlen=_STEPS)
        self._last: Reading | None = None

    @property
    def is_set(self) -> bool:
        """Whether a reading was taken."""
        return self._offset_ms is not None

    def read(self, reading: Reading) -> float:
        """Take in a reading; returns the step since the former one in ms, 0 for none."""
        least = reading.bus_ms - reading.answered_s * 1000
        most = reading.bus_ms - reading.asked_s * 1000
        before, self._last = self._last, reading
        if before is not None and reading.last_seq < before.last_seq:  # another stream, after a lost store
            self._steps = deque((replace(step, after_seq=0, until_seq=0) for step in self._steps), _STEPS)
            before = replace(before, last_seq=0)
        if before is None or self._offset_ms is None:
            self._offset_ms = least
            return 0.0
        expected = self._offset_ms + self._set_ms
        off_ms = min(max(expected, least), most) - expected
        if abs(off_ms) <= STEP_MS:
            self._offset_ms += off_ms
            return 0.0
        since_ms, until_ms = self._at(before.asked_s), self._at(reading.answered_s)
        self._steps.append(_Step(off_ms, before.last_seq, reading.last_seq, since_ms, until_ms))
        self._set_ms += off_ms
        return off_ms

    def now_ms(self, monotonic_s: float) -> int:
        """The log's time; 0 before the first reading."""
        return 0 if self._offset_ms is None else round(self._at(monotonic_s))

    def bus_ms(self, log_ms: float) -> int:
        """The stamp that the bus' clock, as set now, gives to this time of the log."""
        return round(log_ms + self._set_ms)

    def earliest_ms(self, log_ms: float) -> int:
        """The smallest stamp that a record of this or a later time of the log may have."""
        set_ms = least = self._set_ms
        for step in reversed(self._steps):
            if step.until_ms < log_ms:
                break
            set_ms -= step.delta_ms
            least = min(least, set_ms)
        return round(log_ms + least)

    def log_ms(self, stored_ms: int, seq: int | None, monotonic_s: float) -> int:
        """When a record was stored, in the log's time, and never in its future.

        Args:
            seq: Its sequence in SESSIONS; None: a record of another stream, taken as stamped now.
        """
        set_ms = self._set_ms
        for step in reversed(self._steps):
            if seq is None or seq > step.until_seq:
                break
            if seq > step.after_seq:
                # Stamped between the two readings: the sequence does not say on which side of the step. If both are
                # possible, take the later time: a late deadline is better than an early one.
                after, before = stored_ms - set_ms, stored_ms - set_ms + step.delta_ms
                fits = [at_ms for at_ms in (after, before) if step.is_within(at_ms)]
                if not fits or max(fits) == after:
                    break
            set_ms -= step.delta_ms
        return min(round(stored_ms - set_ms), self.now_ms(monotonic_s))

    def is_in_doubt(self, stored_ms: int, seq: int, monotonic_s: float) -> bool:
        """Whether a new record's stamp calls for a reading: the record is late, or the clock was set."""
        if self._last is not None and seq <= self._last.last_seq:
            return False
        return abs(stored_ms - self._set_ms - self.now_ms(monotonic_s)) > STEP_MS

    def _at(self, monotonic_s: float) -> float:
        return monotonic_s * 1000 + (self._offset_ms or 0.0)
