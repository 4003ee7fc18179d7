"""Served time: how long caller and agent were both in the room, as one epoch's supervisor saw it."""

from dataclasses import dataclass, replace

MAX_STEP_S = 1.0
"""Longest time that one observation adds; time before that was frozen, absent or unobserved, and is not billed."""

FROZEN_S = 5.0
"""After a gap this long (ten missing beats) the node itself was frozen: the gap counts nothing."""


@dataclass(frozen=True, slots=True)
class ServedTime:
    """One epoch's served time, advanced by its worker's messages.

    All instants are seconds of one monotonic clock. Served time grows only at an observation (a beat, a change of who
    is in the room, the end), by the time since the observation before it, and by MAX_STEP_S at most. So it never
    exceeds the time in which both were in the room, and a frozen or dead worker or node adds nothing.

    Attributes:
        total_s: Served so far.
        seen_at: The last observation; None before the first.
        fixed: True once the end is decided: later observations add nothing.
    """

    total_s: float = 0.0
    agent: bool = False
    caller: bool = False
    seen_at: float | None = None
    fixed: bool = False

    @property
    def both(self) -> bool:
        return self.agent and self.caller

    @property
    def served_ms(self) -> int:
        """Whole milliseconds, rounded down."""
        return int(self.total_s * 1000)

    def observe(self, now: float, *, agent: bool | None = None, caller: bool | None = None) -> "ServedTime":
        """Count the time up to `now` by who was in the room before it, then record who is in the room from now on.

        Args:
            now: The instant of the observation; an instant before the last observation adds nothing.
            agent: Whether the agent is in the room now; None: unchanged.
            caller: The same for the caller.
        """
        if self.fixed:
            return self
        since = now if self.seen_at is None else self.seen_at
        gap = max(0.0, now - since)
        step = min(gap, MAX_STEP_S) if self.both and gap < FROZEN_S else 0.0
        return replace(
            self,
            total_s=self.total_s + step,
            agent=self.agent if agent is None else agent,
            caller=self.caller if caller is None else caller,
            seen_at=max(now, since),
        )

    def fix(self, now: float) -> "ServedTime":
        """Count up to this instant, at which the end was decided, and nothing after it."""
        return replace(self.observe(now), fixed=True)

    def fix_as_seen(self) -> "ServedTime":
        """Count nothing since the last observation: the worker died or hung some time after it."""
        return replace(self, fixed=True)
