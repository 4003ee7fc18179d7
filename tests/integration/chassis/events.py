"""Events for tests: only what matters is named."""

from datetime import UTC, datetime

from contracts.events import JobAssigned, ServedTick, SessionRequested


def requested(session_id: str = "session_1") -> SessionRequested:
    return SessionRequested(
        session_id=session_id,
        time=datetime.now(UTC),
        user_name="Ada",
        user_id="ada",
        voice_id="Ashley",
        opening_line="Hello Ada",
        system_prompt="Be kind.",
    )


def tick(session_id: str = "session_1", served_ms: int = 0) -> ServedTick:
    return ServedTick(session_id=session_id, time=datetime.now(UTC), epoch=1, served_ms=served_ms)


def assigned(session_id: str = "session_1", epoch: int = 1) -> JobAssigned:
    return JobAssigned(session_id=session_id, time=datetime.now(UTC), epoch=epoch, node_id="n1", served_ms_before=0)
