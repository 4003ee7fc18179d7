"""`GET /sessions` and `GET /sessions/{id}`."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from contracts.api import SessionList, SessionView
from contracts.errors import (
    BUS_UNAVAILABLE,
    INVALID_SESSION_ID,
    REDIS_UNAVAILABLE,
    SESSION_UNREADABLE,
    UNKNOWN_SESSION,
)
from contracts.ids import SessionId
from gateway.domain.access import Scope
from gateway.domain.read_model import SessionState, Status, fold_all, session_view
from gateway.routes.documented import problems
from gateway.routes.finding import from_read_model, unknown
from gateway.routes.scopes import IsAdmin
from gateway.routes.services import LogPort, ReadModelPort

router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_MAX_PAGE = 100


@router.get(
    "/sessions/{session_id}",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, SESSION_UNREADABLE, BUS_UNAVAILABLE),
    operation_id="get_session",
)
async def get_session(
    session_id: Annotated[SessionId, Path()], sessions: LogPort, read_model: ReadModelPort, is_admin: IsAdmin
) -> SessionView:
    """One session, from the read model, or from the log if the read model is unavailable or does not have it yet."""
    view = _view(await from_read_model(session_id, read_model))
    view = view or _view(fold_all(await sessions.history(session_id)))
    if view is None:
        await unknown(session_id, sessions)
    return _shown(view, is_admin=is_admin)


@router.get("/sessions", responses=problems(INVALID_SESSION_ID, REDIS_UNAVAILABLE), operation_id="list_sessions")
async def list_sessions(
    read_model: ReadModelPort,
    is_admin: IsAdmin,
    status: Annotated[list[Status] | None, Query(description="only these; may be repeated")] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 20,
    cursor: Annotated[SessionId | None, Query(description="`nextCursor` of the previous page")] = None,
) -> SessionList:
    """The sessions of the last days, the newest first."""
    page = await read_model.page(frozenset(status or ()), limit=limit, cursor=cursor)
    views = [view for state in page.sessions if (view := session_view(state)) is not None]
    return SessionList(items=[_shown(view, is_admin=is_admin) for view in views], next_cursor=page.next_cursor)


def _shown(view: SessionView, *, is_admin: bool) -> SessionView:
    """Without the scope admin, hide process, file and node: a customer cannot use them, an intruder can."""
    return view if is_admin else view.model_copy(update={"agent_pid": None, "log_file": None, "node_id": None})


def _view(state: SessionState | None) -> SessionView | None:
    return None if state is None else session_view(state)
