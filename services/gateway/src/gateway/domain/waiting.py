"""The progress of a start, for a client that waits for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

from contracts.end_reasons import CAPACITY, EndReason, known
from contracts.errors import (
    AGENT_START_TIMEOUT,
    CALLER_NEVER_JOINED,
    INSUFFICIENT_CREDIT,
    NO_CAPACITY,
    PROVIDER_UNAVAILABLE,
    QUEUE_FULL,
    SESSION_ENDED,
    START_FAILED,
    ProblemType,
    Refused,
)
from contracts.events import AgentReady, AgentSpeaking, Event, Outcome, SessionEnded, TurnFinished

AwaitedStage = Literal["joined", "speaking"]
STAGES: Final[tuple[AwaitedStage, ...]] = ("joined", "speaking")

_RETRY_AFTER_S: Final = 5
_REASONS: Final[Mapping[EndReason | None, ProblemType]] = {
    EndReason.QUEUE_FULL: QUEUE_FULL,
    EndReason.START_TIMEOUT: AGENT_START_TIMEOUT,
    EndReason.CALLER_NEVER_JOINED: CALLER_NEVER_JOINED,
    EndReason.ATTEMPTS_FAILED: START_FAILED,
    EndReason.PROVIDER_FAILED: PROVIDER_UNAVAILABLE,
    EndReason.CREDIT_SPENT: INSUFFICIENT_CREDIT,
    **dict.fromkeys(CAPACITY, NO_CAPACITY),
}
_OUTCOMES: Final[Mapping[Outcome, ProblemType]] = {
    Outcome.REJECTED: NO_CAPACITY,
    Outcome.COMPLETED: SESSION_ENDED,
    Outcome.FAILED: START_FAILED,
    Outcome.NO_SHOW: CALLER_NEVER_JOINED,
}


@dataclass(frozen=True)
class Progress:
    """The reached stages, each with the time of every part of the start, in ms; None before."""

    joined: Mapping[str, int] | None = None
    speaking: Mapping[str, int] | None = None

    def after(self, event: Event) -> "Progress":
        """The progress after one more event.

        `speaking` follows from `agent_speaking`, or from the first turn of a node of an older version.

        Raises:
            Refused: The session ended; the problem gives the reason.
        """
        match event:
            case SessionEnded():
                raise failure(event)
            case AgentReady() if self.joined is None:
                return replace(self, joined=event.stage_ms)
            case AgentSpeaking() if self.speaking is None:
                return Progress(joined=self.joined or event.stage_ms, speaking=event.stage_ms)
            case TurnFinished() if self.joined is not None and self.speaking is None:
                return replace(self, speaking=self.joined)
            case _:
                return self

    def at(self, stage: AwaitedStage) -> Mapping[str, int] | None:
        return self.joined if stage == "joined" else self.speaking


def failure(ended: SessionEnded) -> Refused:
    """The problem of a start whose session ended before the agent was ready."""
    kind = _kind(ended)
    return Refused(
        kind,
        f"Session {ended.session_id} ended before its agent was ready: {ended.reason}.",
        retry_after_s=_RETRY_AFTER_S if kind.retryable else None,
        session_id=ended.session_id,
    )


def _kind(ended: SessionEnded) -> ProblemType:
    return _REASONS.get(known(ended.reason)) or _OUTCOMES[ended.outcome]
