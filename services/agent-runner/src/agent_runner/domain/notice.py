"""A sentence that the agent must say unprompted, and when the conversation leaves room for it."""

from dataclasses import dataclass

from agent_runner.domain.quiet import Quiet


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice waits for a pause between two turns; past half of its patience, for any moment of silence.

    Attributes:
        text: The sentence.
        since_s: When it was requested, in seconds of the clock that `Quiet` has.
        patience_s: After this time it is said even while the caller or the agent speaks.
    """

    text: str
    since_s: float
    patience_s: float

    def is_due(self, now: float, quiet: Quiet) -> bool:
        waited_s = now - self.since_s
        if waited_s >= self.patience_s:
            return True
        if 2 * waited_s >= self.patience_s:
            return quiet.is_silent
        return quiet.is_between_turns(now)
