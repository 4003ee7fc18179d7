"""Builders of commands to a node and to its worker; a test names only what it is about."""

from typing import Any

from agent_runner.link.messages import Go
from contracts.commands import AssignJob
from contracts.ids import agent_identity, caller_identity
from tests.support.events import SESSION


def assign_job(session_id: str = SESSION, *, epoch: int = 1, **changes: object) -> AssignJob:
    job = AssignJob(
        session_id=session_id,
        epoch=epoch,
        url="ws://127.0.0.1:1",
        token="token",
        user_name="Ann",
        user_id="Ann",
        voice_id="Ashley",
        opening_line="Hello Ann!",
        system_prompt="Be kind.",
    )
    return job.model_copy(update=changes)


def go(session_id: str = "session_1", **changes: Any) -> Go:
    """A first epoch's job, as the supervisor gives it to a worker."""
    given: dict[str, Any] = {
        "epoch": 1,
        "url": "ws://127.0.0.1:7880",
        "token": "t.t.t",
        "system_prompt": "Be kind.",
        "voice_id": "Ashley",
        "caller_identity": caller_identity(session_id),
        "agent_identity": agent_identity(session_id),
    }
    return Go(session_id=session_id, **(given | changes))
