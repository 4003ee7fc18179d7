"""Whether the caller's audio arrives: without a frame the agent is deaf, and nothing else would notice. Pure."""

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

STALL_S: Final = 5.0
"""Seconds without a frame. LiveKit delivers frames all the time, also of a caller who is muted or sends nothing."""

_STEP_S: Final = 1.0  # most that one look counts: a process that was frozen received no frames either

Verdict: TypeAlias = Literal["well", "resubscribe", "back", "lost"]


@dataclass(frozen=True, slots=True)
class Intake:
    """The audio of one caller.

    Attributes:
        missing_s: Seconds for which it has been missing.
        is_stalled: The agent has subscribed again because of the stall.
        looked_at: The last look.
    """

    missing_s: float = 0.0
    is_stalled: bool = False
    looked_at: float = 0.0

    def looked(self, now: float, *, is_due: bool, came: bool) -> tuple["Intake", Verdict]:
        """Look again.

        Args:
            now: Seconds of one clock.
            is_due: The caller is in the room with an open microphone, and the agent listens.
            came: A frame came since the last look.
        """
        if came or not is_due:
            return Intake(looked_at=now), "back" if self.is_stalled else "well"
        missing_s = self.missing_s + min(now - self.looked_at, _STEP_S)
        if missing_s < STALL_S:
            return replace(self, missing_s=missing_s, looked_at=now), "well"
        return Intake(is_stalled=True, looked_at=now), "lost" if self.is_stalled else "resubscribe"
