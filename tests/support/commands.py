"""Builders of commands; a test names only what it is about."""

from contracts.commands import AssignJob
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
