"""Why a worker is gone: the `cause` of `agent_stopped`."""

from __future__ import annotations

from enum import StrEnum

from contracts import metering


class Cause(StrEnum):
    """Causes that the supervisor or the worker states; a failed provider adds its name, `provider_failed:stt`."""

    ENDED = "ended"
    """The scheduler's `end`."""
    FAREWELL = "farewell"
    """It only had to say that the call cannot go on."""
    DRAINED = "drained"
    """The node's drain limit was reached."""
    SESSION_TIMEOUT = "session_timeout"
    """Longer than a session may be; the scheduler, which ends it at its time, did not."""
    CREDIT_SPENT = metering.CREDIT_SPENT
    """The session's limit of billable time is reached."""
    SUPERSEDED = "superseded"
    """A newer epoch of the session exists."""
    ROOM_CLOSED = "room_closed"
    """LiveKit deleted the room."""
    REMOVED = "removed"
    """LiveKit put the agent out, not for a newer epoch."""
    START_FAILED = "start_failed"
    """No worker could be had for the job."""
    JOIN_FAILED = "join_failed"
    """The room could not be joined."""
    PROVIDER_FAILED = "provider_failed"
    """A provider became unusable."""
    USER_IDLE = "user_idle"
    """The caller was silent for too long."""
    FAILED = "failed"
    """The pipeline failed."""
    STALLED = "stalled"
    """The worker's event loop stood still and it was killed."""
    CRASHED = "crashed"
    """The process died."""
