"""Fault time: how much of an epoch's served time its providers kept the agent deaf or mute."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class FaultTime:
    """The served time in which at least one provider failed; simultaneous faults count once.

    All instants are readings of the epoch's served time, whole ms. So time that is not served (caller away, node
    frozen) is not fault time either, and fault time never exceeds served time.

    Attributes:
        failing: The providers that fail now.
        since_ms: When the current fault began; undefined while `failing` is empty.
        closed_ms: Fault time of the spans that have ended.
        closed_until_ms: When the last of those spans ended.
    """

    failing: frozenset[str] = frozenset()
    since_ms: int = 0
    closed_ms: int = 0
    closed_until_ms: int = 0

    def fail(self, provider: str, served_ms: int, *, ago_ms: int = 0) -> "FaultTime":
        """Record that a provider fails.

        Args:
            served_ms: The served time now.
            ago_ms: How long ago the fault began, before it was noticed. A fault never begins before the end of the
                last span.
        """
        since_ms = max(self.closed_until_ms, served_ms - ago_ms)
        if self.failing:
            since_ms = min(since_ms, self.since_ms)
        return replace(self, failing=self.failing | {provider}, since_ms=since_ms)

    def recover(self, provider: str, served_ms: int) -> "FaultTime":
        """Record that a provider works again; no effect if it did not fail."""
        left = self.failing - {provider}
        if left or not self.failing:
            return replace(self, failing=left)
        return FaultTime(closed_ms=self.total_ms(served_ms), closed_until_ms=served_ms)

    def total_ms(self, served_ms: int) -> int:
        """The total fault time at this served time."""
        return self.closed_ms + (served_ms - self.since_ms if self.failing else 0)
