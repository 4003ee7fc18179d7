"""`GET /v1/sessions`, one session in detail, and its timeline."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime, BeforeValidator

from contracts.api_v1 import SessionDetail, SessionPage, Timeline
from contracts.errors import (
    BUS_UNAVAILABLE,
    INVALID_SESSION_ID,
    REDIS_UNAVAILABLE,
    SESSION_UNREADABLE,
    UNKNOWN_SESSION,
)
from contracts.events import Outcome
from contracts.ids import SessionId
from gateway.domain.access import Scope
from gateway.domain.read_model import SessionState, Status, fold_records
from gateway.domain.session_filter import CURSOR_PATTERN, SessionFilter, metadata_condition, parse_cursor
from gateway.domain.summaries import detail, summary
from gateway.domain.timeline import timeline
from gateway.routes.documented import example, problems
from gateway.routes.finding import from_read_model, unknown
from gateway.routes.scopes import IsAdmin
from gateway.routes.services import ReadModelPort, Wired
from gateway.routes.v1_examples import DETAIL, PAGE, TIMELINE

router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_MAX_PAGE = 100

_RFC_3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


def _instant(text: str) -> str:
    """Refuse what pydantic would also read as a time: numbers and dates."""
    if _RFC_3339.fullmatch(text) is None:
        raise ValueError("it is not an RFC 3339 time such as 2026-11-24T12:00:00Z; write the + of an offset as %2B")
    return text


_OfSession = Annotated[SessionId, Path()]
_Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]


@router.get("/v1/sessions", responses=problems(REDIS_UNAVAILABLE) | example(PAGE), operation_id="find_sessions")
async def find_sessions(
    read_model: ReadModelPort,
    services: Wired,
    is_admin: IsAdmin,
    user: Annotated[str | None, Query(max_length=128, description="user name or user id")] = None,
    status: Annotated[list[Status] | None, Query(description="only these; may be repeated")] = None,
    outcome: Annotated[list[Outcome] | None, Query(description="only these; may be repeated")] = None,
    since: Annotated[_Instant | None, Query(alias="from", description="requested at this time or later")] = None,
    until: Annotated[_Instant | None, Query(alias="to", description="requested before this time")] = None,
    metadata: Annotated[
        str | None, Query(min_length=1, max_length=600, description="`key`, or `key:value`, of the start's metadata")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=_MAX_PAGE)] = 20,
    cursor: Annotated[str | None, Query(pattern=CURSOR_PATTERN, description="`nextCursor` of the page before")] = None,
) -> SessionPage:
    """The sessions of the last days that meet every condition, the newest first, without their prompts.

    A page looks at no more than 2,000 sessions, so with a rare condition it may be empty; follow `nextCursor`.
    """
    wanted = SessionFilter(
        user=user,
        statuses=frozenset(status or ()),
        outcomes=frozenset(outcome or ()),
        since=since,
        until=until,
        metadata=None if metadata is None else metadata_condition(metadata),
    )
    found, after = await read_model.find(wanted, limit=limit, after=None if cursor is None else parse_cursor(cursor))
    now = services.now()
    shown = (summary(state, now, services.turn_budget_ms, is_admin=is_admin) for state in found)
    return SessionPage(
        items=[each for each in shown if each is not None], next_cursor=None if after is None else str(after)
    )


@router.get(
    "/v1/sessions/{session_id}",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, SESSION_UNREADABLE, BUS_UNAVAILABLE) | example(DETAIL),
    operation_id="get_session_detail",
)
async def get_session_detail(session_id: _OfSession, services: Wired, is_admin: IsAdmin) -> SessionDetail:
    """One session with its prompt, from the read model, or from the log if the read model does not have it."""

    def view(state: SessionState | None) -> SessionDetail | None:
        return None if state is None else detail(state, services.now(), services.turn_budget_ms, is_admin=is_admin)

    found = view(await from_read_model(session_id, services.read_model))
    found = found or view(fold_records(await services.log.records(session_id)))
    return found or await unknown(session_id, services.log)


@router.get(
    "/v1/sessions/{session_id}/timeline",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, SESSION_UNREADABLE, BUS_UNAVAILABLE) | example(TIMELINE),
    operation_id="get_session_timeline",
)
async def get_session_timeline(session_id: _OfSession, services: Wired, is_admin: IsAdmin) -> Timeline:
    """Every step of a session from the request to the bill, from the log; without the words of the conversation."""
    records = await services.log.records(session_id)
    made = timeline(records, services.turn_budget_ms, is_admin=is_admin)
    return made or await unknown(session_id, services.log)
