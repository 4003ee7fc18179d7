"""Something that the agent has to say unasked, and when the conversation leaves room for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from agent_runner.domain.quiet import Quiet


@dataclass(frozen=True, slots=True)
class Notice:
    """It waits for a pause between two turns; past half of its patience for a moment in which nobody speaks.

    Attributes:
        text: What is to be said.
        since_s: When it was asked for, seconds of the clock that `Quiet` has.
        patience_s: After so long it is said whatever goes on.
    """

    text: str
    since_s: float
    patience_s: float

    def is_due(self, now: float, quiet: Quiet) -> bool:
        """Whether to say it now."""
        waited_s = now - self.since_s
        if waited_s >= self.patience_s:
            return True
        if 2 * waited_s >= self.patience_s:
            return quiet.is_silent
        return quiet.is_between_turns(now)
