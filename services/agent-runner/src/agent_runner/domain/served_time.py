"""Served time: how long caller and agent were both in the room, as one epoch's supervisor saw it."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_STEP_S = 1.0
"""The most that one observation adds: what lies further back was frozen, absent or unseen, and is not billed."""

FROZEN_S = 5.0
"""Unseen for so long, with ten beats missing, the node itself stood still: nothing of it is counted."""


@dataclass(frozen=True, slots=True)
class ServedTime:
    """One epoch's served time, advanced by what its worker says.

    All instants are seconds of one monotonic clock. Served time grows only at an observation (a beat, a change of who
    is in the room, the end), by the time since the observation before it, and by MAX_STEP_S at most. So it never
    exceeds the time that both were there, and a worker or a node that is frozen or gone adds nothing.

    Attributes:
        total_s: Served so far.
        seen_at: The last observation; None before the first.
        fixed: True once the end was decided: nothing is added any more.
    """

    total_s: float = 0.0
    agent: bool = False
    caller: bool = False
    seen_at: float | None = None
    fixed: bool = False

    @property
    def both(self) -> bool:
        """Caller and agent are in the room."""
        return self.agent and self.caller

    @property
    def served_ms(self) -> int:
        """Whole milliseconds, rounded down."""
        return int(self.total_s * 1000)

    def observe(self, now: float, *, agent: bool | None = None, caller: bool | None = None) -> ServedTime:
        """Count the time up to `now` under what was known, then take over who is in the room from here on.

        Args:
            now: The instant of the observation; one before the last observation counts nothing.
            agent: Whether the agent is in the room now; None: as before.
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

    def fix(self, now: float) -> ServedTime:
        """The end is decided: count up to this instant and nothing after it."""
        return replace(self.observe(now), fixed=True)

    def abandon(self) -> ServedTime:
        """The worker died or hung: what it did since its last sign of life is unknown and not counted."""
        return replace(self, fixed=True)
