"""A start: what the log will say of it, and when two starts are the same."""

import hashlib
import json
from datetime import datetime

from contracts.api import StartRequest
from contracts.events import SessionRequested
from contracts.tools import recorded


def opening_line(user_name: str) -> str:
    """What the agent says first when the request does not say it."""
    return f"Hi {user_name}, how can I help you today?"


def requested(body: StartRequest, session_id: str, now: datetime) -> SessionRequested:
    """The fact that a start leaves in the log.

    Args:
        body: A valid request.
        session_id: The session's id, chosen by us or by the request.
        now: When it was accepted.
    """
    return SessionRequested(
        session_id=session_id,
        time=now,
        user_name=body.user_name,
        user_id=body.user_id or body.user_name,
        voice_id=body.voice_id,
        opening_line=body.opening_line or opening_line(body.user_name),
        system_prompt=body.system_prompt,
        metadata=dict(body.metadata),
        credit_limit_minutes=body.credit_limit_minutes,
        tools=tuple(recorded(tool) for tool in body.tools),
    )


def fingerprint(body: StartRequest) -> str:
    """SHA-256 of what the body means, so that spacing, field order and spelt-out defaults make no difference."""
    canonical = json.dumps(body.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def is_same_start(ours: SessionRequested, stored: SessionRequested) -> bool:
    """True when the log's request is this one, whenever it was made.

    The events' ids cannot tell: two requests that name one session id share it.
    """
    return ours.model_dump(exclude={"time"}) == stored.model_dump(exclude={"time"})
