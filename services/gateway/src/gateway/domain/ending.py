"""The answer to an end, from the log."""

from collections.abc import Iterable

from contracts import metering
from contracts.api import EndDetails, EndReply
from contracts.events import AgentStopped, Event, SessionEnded


def process_is_gone(ended: SessionEnded, events: Iterable[Event]) -> bool:
    """Whether the last epoch's worker has exited: its node reported it, or no epoch was assigned."""
    if ended.epoch == 0:
        return True
    return any(isinstance(e, AgentStopped) and e.epoch >= ended.epoch for e in events)


def end_reply(ended: SessionEnded, *, process_gone: bool, read_model_shows_it: bool, errors: list[str]) -> EndReply:
    """Build the reply in the form that existing clients read.

    Args:
        ended: The session's end; its durations are the bill's.
        process_gone: The session's worker process has exited.
        read_model_shows_it: Redis shows the end.
        errors: Failures, in sentences.
    """
    return EndReply(
        message=f"Session {ended.session_id} ended and cleaned up",
        details=EndDetails(
            session_id=ended.session_id,
            celery_task_revoked=True,  # after `ended` the scheduler does not place the job again
            process_killed=process_gone,
            redis_cleaned=read_model_shows_it,
            durationSeconds=metering.seconds(ended.billable_ms),
            durationMinutes=metering.minutes(ended.billable_ms),
            outcome=ended.outcome,
            reason=ended.reason,
            ended_at=ended.time,
            errors=errors,
        ),
    )
