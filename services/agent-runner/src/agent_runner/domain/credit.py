"""How much of its session's grant of billable time one epoch may still use, and which action is due as it runs out."""

from dataclasses import dataclass
from typing import Final, Literal

from contracts.metering import SPENT_EARLY_MS, granted_ms

SAY_S: Final = 8.0
"""Seconds before the end of the grant that are reserved for speaking the warning."""

SHORTEST_MS: Final = 3_000
"""No warning begins with less than this left."""


@dataclass(frozen=True, slots=True)
class CreditWarning:
    """The sentence that the agent says before its session's grant is used up.

    Attributes:
        text: Empty: no warning.
        before_s: Seconds of billable time before the end of the grant.
    """

    text: str = ""
    before_s: float = 20.0


@dataclass(frozen=True, slots=True)
class Credit:
    """An epoch's share of a grant.

    Attributes:
        granted_minutes: The billable minutes of the whole session; None: unlimited.
        before_ms: The billable time of the earlier epochs.
    """

    granted_minutes: int | None = None
    before_ms: int = 0

    def left_ms(self, billable_ms: int) -> int | None:
        """Billable time left after this epoch has used `billable_ms`; None: unlimited."""
        return None if self.granted_minutes is None else granted_ms(self.granted_minutes) - self.before_ms - billable_ms

    def due(self, billable_ms: int, warning: CreditWarning) -> Literal["warning", "end"] | None:
        """The action due at this billable time of the epoch."""
        left_ms = self.left_ms(billable_ms)
        if left_ms is None:
            return None
        if left_ms <= SPENT_EARLY_MS:
            return "end"
        return "warning" if warning.text and SHORTEST_MS <= left_ms <= 1000 * warning.before_s else None

    def patience_s(self, billable_ms: int) -> float:
        """How long the warning may wait for a pause in the conversation and still be spoken in time."""
        left_ms = self.left_ms(billable_ms)
        return 0.0 if left_ms is None else max(0.0, left_ms / 1000 - SAY_S)
