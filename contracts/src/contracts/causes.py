"""Why an agent stopped: the `cause` of `agent_stopped`, and the effect of each cause on its session.

On the wire a cause is a string, and `provider_failed` carries the provider: `provider_failed:stt`. A reader treats a
cause that it does not know as a failure of the node.
"""

from collections.abc import Mapping
from enum import Enum, StrEnum, auto
from typing import Final


class Cause(StrEnum):
    """Causes that a worker or its supervisor states."""

    ENDED = "ended"
    """The scheduler sent `end`."""
    FAREWELL = "farewell"
    """The job was only to say that the call cannot continue."""
    DRAINED = "drained"
    """The node reached its drain limit and handed the call over."""
    SESSION_TIMEOUT = "session_timeout"
    """The session reached its time limit, and no scheduler ended it."""
    CREDIT_SPENT = "credit_spent"
    """The session used up its grant."""
    SUPERSEDED = "superseded"
    """The session has a newer epoch."""
    ROOM_CLOSED = "room_closed"
    """LiveKit deleted the room."""
    REMOVED = "removed"
    """LiveKit removed the agent, but not for a newer epoch."""
    START_FAILED = "start_failed"
    """The node had no worker for the job."""
    JOIN_FAILED = "join_failed"
    """The worker could not join the room."""
    PROVIDER_FAILED = "provider_failed"
    """A provider became unusable and the worker ended the call."""
    USER_IDLE = "user_idle"
    """The caller was silent for USER_IDLE_END_S."""
    AGENT_ENDED = "agent_ended"
    """The agent said goodbye and ended the call with its tool `end_call`."""
    FAILED = "failed"
    """The pipeline failed."""
    STALLED = "stalled"
    """The worker's event loop stood still, and the supervisor killed the process."""
    CRASHED = "crashed"
    """The process died."""


class Lost(StrEnum):
    """Causes that the scheduler states for an attempt without an agent whose node stated none; never on the wire."""

    REFUSED = "refused"
    """The node refused the job, or did not answer."""
    NODE_LOST = "node_lost"
    """The node is lost."""
    JOB_LOST = "job_lost"
    """The live node does not list the job: it restarted under its old name."""
    NOT_READY = "not_ready"
    """The agent did not join within ATTEMPT_TIMEOUT_S."""


class Effect(Enum):
    """How the scheduler reacts to the current epoch's cause."""

    COMPLETES = auto()
    """The session ends as completed, if the agent had joined; otherwise the next attempt follows."""
    FAILS = auto()
    """The session ends as failed."""
    MOVES = auto()
    """Another node continues; the failure does not count against this one."""
    BLAMES = auto()
    """Another node continues; a failed start counts against this one."""


EFFECTS: Final[Mapping[str, Effect]] = {
    Cause.ENDED: Effect.COMPLETES,
    Cause.ROOM_CLOSED: Effect.COMPLETES,
    Cause.SESSION_TIMEOUT: Effect.COMPLETES,
    Cause.CREDIT_SPENT: Effect.COMPLETES,
    Cause.USER_IDLE: Effect.COMPLETES,
    Cause.AGENT_ENDED: Effect.COMPLETES,
    Cause.PROVIDER_FAILED: Effect.FAILS,
    Cause.DRAINED: Effect.MOVES,
    Cause.SUPERSEDED: Effect.MOVES,
    Cause.REMOVED: Effect.MOVES,
    Cause.FAREWELL: Effect.BLAMES,
    Cause.START_FAILED: Effect.BLAMES,
    Cause.JOIN_FAILED: Effect.BLAMES,
    Cause.FAILED: Effect.BLAMES,
    Cause.STALLED: Effect.BLAMES,
    Cause.CRASHED: Effect.BLAMES,
    Lost.REFUSED: Effect.MOVES,
    Lost.NODE_LOST: Effect.MOVES,
    Lost.JOB_LOST: Effect.BLAMES,
    Lost.NOT_READY: Effect.BLAMES,
}


def effect(cause: str) -> Effect:
    """The effect of a cause in the log; BLAMES for a cause that this version does not know."""
    return EFFECTS.get(cause.partition(":")[0], Effect.BLAMES)


def provider_failed(provider: str | None) -> str:
    """The cause when a provider (stt, llm or tts; None: not known) became unusable."""
    return f"{Cause.PROVIDER_FAILED}:{provider}" if provider else Cause.PROVIDER_FAILED
