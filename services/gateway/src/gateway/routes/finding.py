"""How the routes find one session, and what they answer when there is none."""

from typing import NoReturn

from chassis.logs import get_logger
from contracts.errors import UNKNOWN_SESSION, Refused
from contracts.events import SessionRequested
from gateway.domain.read_model import SessionState
from gateway.ports import ReadModel, ReadModelUnavailable, SessionLog

log = get_logger(__name__)


async def from_read_model(session_id: str, read_model: ReadModel) -> SessionState | None:
    """The session's state; None if the read model does not have it, or is unavailable."""
    try:
        return await read_model.get(session_id)
    except ReadModelUnavailable as error:
        log.warning("read_model.away", reason=error.detail)
        return None


async def unknown(session_id: str, sessions: SessionLog) -> NoReturn:
    """Raise `unknown_session`, or `session_unreadable` if the session exists."""
    await sessions.last(SessionRequested, session_id)
    raise Refused(UNKNOWN_SESSION, f"Unknown session {session_id}.")
