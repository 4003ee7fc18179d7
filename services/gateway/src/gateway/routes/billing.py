"""`GET /billing/...`: billing's answers, through the one service that users talk to."""

from typing import Annotated

from contracts.api import SessionBill, UserBill
from contracts.errors import BILLING_UNAVAILABLE, INVALID_SESSION_ID, NOT_BILLED_YET, UNKNOWN_SESSION, UNKNOWN_USER
from contracts.ids import SessionId
from contracts.names import RecordedName
from fastapi import APIRouter, Path, Query

from gateway.domain.access import Scope
from gateway.routes.documented import problems
from gateway.routes.services import Wired

router = APIRouter(tags=["billing"])
SCOPE = Scope.BILLING_READ


@router.get(
    "/billing/sessions/{session_id}",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, NOT_BILLED_YET, BILLING_UNAVAILABLE),
    operation_id="get_session_bill",
)
async def get_session_bill(session_id: Annotated[SessionId, Path()], services: Wired) -> SessionBill:
    """A session's settlement, and what it was computed from."""
    return await services.billing.session(session_id)


@router.get(
    "/billing/users/{user:path}",  # a name may hold a slash
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="get_user_bill",
)
async def get_user_bill(
    user: Annotated[RecordedName, Path()],
    services: Wired,
    limit: Annotated[int | None, Query(ge=1, le=100)] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> UserBill:
    """One page of a user's settlements, the newest first, and the sums over all."""
    return await services.billing.user(user, limit=limit, cursor=cursor)


@router.get(
    "/billing/users",
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="find_user_bill",
)
async def find_user_bill(
    user: Annotated[RecordedName, Query()],
    services: Wired,
    limit: Annotated[int | None, Query(ge=1, le=100)] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> UserBill:
    """The same for any name: HTTP clients take `.` and `..` out of a path, also where they are percent-encoded."""
    return await services.billing.user(user, limit=limit, cursor=cursor)
