"""`GET /billing/...`: billing's answers, through the public API."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from contracts.api import MAX_BILLS_PAGE, SessionBill, UserBill
from contracts.errors import BILLING_UNAVAILABLE, INVALID_SESSION_ID, NOT_BILLED_YET, UNKNOWN_SESSION, UNKNOWN_USER
from contracts.ids import SessionId
from contracts.names import RecordedName
from gateway.domain.access import Scope
from gateway.routes.documented import problems
from gateway.routes.services import BillingPort

router = APIRouter(tags=["billing"])
SCOPE = Scope.BILLING_READ

_Limit = Annotated[int | None, Query(ge=1, le=MAX_BILLS_PAGE)]
_Cursor = Annotated[str | None, Query(max_length=200)]


@router.get(
    "/billing/sessions/{session_id}",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, NOT_BILLED_YET, BILLING_UNAVAILABLE),
    operation_id="get_session_bill",
)
async def get_session_bill(session_id: Annotated[SessionId, Path()], billing: BillingPort) -> SessionBill:
    """A session's settlement and its evidence."""
    return await billing.session(session_id)


@router.get(
    "/billing/users/{user:path}",  # a name may contain a slash
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="get_user_bill",
)
async def get_user_bill(
    user: Annotated[RecordedName, Path()], billing: BillingPort, limit: _Limit = None, cursor: _Cursor = None
) -> UserBill:
    """One page of a user's settlements, the newest first, and the sums over all."""
    return await billing.user(user, limit=limit, cursor=cursor)


@router.get(
    "/billing/users",
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="find_user_bill",
)
async def find_user_bill(
    user: Annotated[RecordedName, Query()], billing: BillingPort, limit: _Limit = None, cursor: _Cursor = None
) -> UserBill:
    """The same for any name: HTTP clients remove `.` and `..` from a path, even when they are percent-encoded."""
    return await billing.user(user, limit=limit, cursor=cursor)
