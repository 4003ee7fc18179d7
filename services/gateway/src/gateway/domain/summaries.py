"""The answers of `GET /v1/sessions` and `GET /v1/sessions/{id}`, from a session's state."""

from datetime import datetime
from typing import Any

from contracts import metering
from contracts.api_v1 import SessionDetail, SessionSummary
from gateway.domain.read_model import SessionState, Status, job_id, stage_ms
from gateway.domain.turns import last_turn, offset_ms
from gateway.domain.words import start_words, without_prompt


def listed(state: SessionState) -> SessionState:
    """The state as `summary` and `SessionFilter` need it: without prompts and the nodes that were considered."""
    update: dict[str, Any] = {
        name: event.model_copy(update={"considered": ()})
        for name, event in (("queued", state.queued), ("assigned", state.assigned), ("ended", state.ended))
        if event is not None
    }
    if state.requested is not None:
        update["requested"] = without_prompt(state.requested)
    return state.model_copy(update=update)


def summary(state: SessionState, now: datetime, budget_ms: int, *, is_admin: bool) -> SessionSummary | None:
    """The session without its prompt; None while its request is unknown.

    Args:
        budget_ms: The latency budget of a turn.
        is_admin: Whether the reader may see nodes.
    """
    fields = _fields(state, now, budget_ms, is_admin=is_admin)
    return None if fields is None else SessionSummary(**fields)


def detail(state: SessionState, now: datetime, budget_ms: int, *, is_admin: bool) -> SessionDetail | None:
    """As `summary`, with what the agent was told; also processes and files if `is_admin`."""
    fields = _fields(state, now, budget_ms, is_admin=is_admin)
    if fields is None or state.requested is None:
        return None
    words, ready = start_words(state.requested), state.ready if is_admin else None
    waits = state.status is Status.QUEUED and state.queued is not None
    return SessionDetail(
        **fields,
        opening_line=words.opening_line,
        system_prompt=words.system_prompt,
        tools=list(state.tools),
        granted_minutes=state.granted_minutes,
        celery_task_id=job_id(state.requested),
        agent_pid=ready.pid if ready else None,
        log_file=ready.log_file if ready else None,
        queue_position=state.queued.position if waits and state.queued else None,
        stage_ms=stage_ms(state),
    )


def _fields(state: SessionState, now: datetime, budget_ms: int, *, is_admin: bool) -> dict[str, Any] | None:
    requested, ended, billed = state.requested, state.ended, state.billed
    if requested is None:
        return None
    words = start_words(requested)
    return {
        "session_id": state.session_id,
        "status": state.status,
        "user_name": words.user_name,
        "user_id": words.user_id,
        "language": requested.language,
        "voice_id": requested.voice_id,
        "metadata": requested.metadata,
        "node_id": state.assigned.node_id if is_admin and state.assigned else None,
        "epoch": state.epoch,
        "created_at": requested.time,
        "start_time": state.first_ready.time if state.first_ready else None,
        "conversation_start_time": state.started.at if state.started else None,
        "ended_at": ended.time if ended else None,
        "outcome": ended.outcome if ended else None,
        "reason": ended.reason if ended else None,
        "start_ms": offset_ms(state.first_speaking.time, requested.time) if state.first_speaking else None,
        "duration_seconds": _duration_s(state, now),
        "minutes": billed.minutes if billed else None,
        "credits": billed.credits if billed else None,
        "turns": state.turns,
        "last_turn": last_turn(state.last_turn, budget_ms) if state.last_turn else None,
        "takeovers": max(0, state.epoch - state.first_ready.epoch) if state.first_ready else 0,
        "trace_id": state.trace_id or None,
        "erased": state.erased is not None,
    }


def _duration_s(state: SessionState, now: datetime) -> int | None:
    if state.billed is not None:
        return state.billed.seconds
    if state.ended is not None:
        return metering.seconds(state.ended.billable_ms)
    return max(0, int((now - state.started.at).total_seconds())) if state.started else None
