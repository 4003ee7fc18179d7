"""How far a start has come, for a client that waits for it."""

from collections.abc import Iterable
from typing import Literal

from contracts.errors import NO_CAPACITY, SESSION_ENDED, START_FAILED, Refused
from contracts.events import AgentReady, AgentSpeaking, Event, Outcome, SessionEnded, TurnFinished

Stage = Literal["joined", "speaking"]

_RETRY_AFTER_S = 5


def stage_reached(stage: Stage, events: Iterable[Event]) -> dict[str, int] | None:
    """How long each stage took, in ms, once the stage is reached; None before.

    The agent is heard when its node says so; a node of an older version says it with its first turn.

    Raises:
        Refused: The session ended first: `no_capacity`, `start_failed` or `session_ended`, with the reason.
    """
    ready: AgentReady | AgentSpeaking | None = None
    spoke = False
    for event in events:
        match event:
            case AgentReady():
                ready = event
            case AgentSpeaking():
                ready, spoke = event, True
            case TurnFinished():
                spoke = True
            case SessionEnded():
                raise _failure(event)
            case _:
                pass
    if ready is None or (stage == "speaking" and not spoke):
        return None
    return dict(ready.stage_ms)


def _failure(ended: SessionEnded) -> Refused:
    detail = f"Session {ended.session_id} ended before it was there: {ended.reason}."
    match ended.outcome:
        case Outcome.REJECTED:
            return Refused(NO_CAPACITY, detail, retry_after_s=_RETRY_AFTER_S)
        case Outcome.COMPLETED:
            return Refused(SESSION_ENDED, detail)
        case Outcome.FAILED | Outcome.NO_SHOW:
            return Refused(START_FAILED, detail, retry_after_s=_RETRY_AFTER_S)
