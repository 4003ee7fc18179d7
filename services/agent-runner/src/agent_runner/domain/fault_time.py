"""Fault time: how much of an epoch's served time its providers kept the agent deaf or mute."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class FaultTime:
    """The served time in which at least one provider failed; of several at once it is counted once.

    All instants are readings of the epoch's served time, whole ms. So what is not served (the caller away, a node that
    stood still) is no fault time either, and fault time never exceeds served time.

    Attributes:
        failing: The providers that fail now.
        since_ms: Since when any of them does; without one it says nothing.
        closed_ms: Fault time of the spans that are over.
        closed_until_ms: When the last of them was over.
    """

    failing: frozenset[str] = frozenset()
    since_ms: int = 0
    closed_ms: int = 0
    closed_until_ms: int = 0

    def fail(self, provider: str, served_ms: int, *, ago_ms: int = 0) -> FaultTime:
        """A provider fails.

        Args:
            served_ms: The served time now.
            ago_ms: How long before it the fault began; it may begin before it is noticed, and not before the last
                span's end.
        """
        since_ms = max(self.closed_until_ms, served_ms - ago_ms)
        if self.failing:
            since_ms = min(since_ms, self.since_ms)
        return replace(self, failing=self.failing | {provider}, since_ms=since_ms)

    def recover(self, provider: str, served_ms: int) -> FaultTime:
        """A provider does its work again; one that did not fail changes nothing."""
        left = self.failing - {provider}
        if left or not self.failing:
            return replace(self, failing=left)
        return FaultTime(closed_ms=self.total_ms(served_ms), closed_until_ms=served_ms)

    def total_ms(self, served_ms: int) -> int:
        """The fault time in all, at this served time."""
        return self.closed_ms + (served_ms - self.since_ms if self.failing else 0)
