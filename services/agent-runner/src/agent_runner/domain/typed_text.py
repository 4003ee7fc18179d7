"""Limits on what the caller types. Pure."""

from dataclasses import dataclass, replace
from typing import Final

BURST: Final = 5
"""Texts that may come at once."""

REFILL_S: Final = 2.0
"""After a burst, one text is taken each time this has passed: faster than a person reads the answers."""


@dataclass(frozen=True, slots=True)
class TypedText:
    """A token bucket. Times are seconds of one clock."""

    tokens: float = BURST
    at: float = 0.0

    def taken(self, now: float) -> "TypedText | None":
        """The bucket after another text; None: the text comes too soon."""
        tokens = min(BURST, self.tokens + (now - self.at) / REFILL_S)
        return replace(self, tokens=tokens - 1, at=now) if tokens >= 1 else None
