"""`GET /billing/...`: billing's answers, through the public API."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from contracts.api import MAX_BILLS_PAGE, SessionBill, UserBill
from contracts.errors import BILLING_UNAVAILABLE, INVALID_SESSION_ID, NOT_BILLED_YET, UNKNOWN_SESSION, UNKNOWN_USER
from contracts.events import SessionRequested
from contracts.ids import SessionId
from contracts.names import RecordedName
from gateway.domain.access import Scope
from gateway.domain.accounts import PREFIX, shown_user_id
from gateway.ports import RecordUnreadable, Unavailable
from gateway.routes.documented import problems
from gateway.routes.finding import from_read_model
from gateway.routes.services import BillingPort, Services, Wired

router = APIRouter(tags=["billing"])
SCOPE = Scope.BILLING_READ

_Limit = Annotated[int | None, Query(ge=1, le=MAX_BILLS_PAGE)]
_Cursor = Annotated[str | None, Query(max_length=200)]


@router.get(
    "/billing/sessions/{session_id}",
    responses=problems(INVALID_SESSION_ID, UNKNOWN_SESSION, NOT_BILLED_YET, BILLING_UNAVAILABLE),
    operation_id="get_session_bill",
)
async def get_session_bill(
    session_id: Annotated[SessionId, Path()], billing: BillingPort, services: Wired
) -> SessionBill:
    """A session's settlement and its evidence."""
    bill = await billing.session(session_id)
    if not bill.user_id.startswith(PREFIX):
        return bill
    requested = await _requested(session_id, services)
    if requested is None or requested.user_id != bill.user_id:
        return bill
    return bill.model_copy(update={"user_id": shown_user_id(requested)})


@router.get(
    "/billing/users/{user:path}",  # a name may contain a slash
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="get_user_bill",
)
async def get_user_bill(
    user: Annotated[RecordedName, Path()], services: Wired, limit: _Limit = None, cursor: _Cursor = None
) -> UserBill:
    """One page of a user's settlements, the newest first, and the sums over all."""
    return await _user_bill(user, services, limit, cursor)


@router.get(
    "/billing/users",
    responses=problems(UNKNOWN_USER, BILLING_UNAVAILABLE),
    operation_id="find_user_bill",
)
async def find_user_bill(
    user: Annotated[RecordedName, Query()], services: Wired, limit: _Limit = None, cursor: _Cursor = None
) -> UserBill:
    """The same for any name: HTTP clients remove `.` and `..` from a path, even when they are percent-encoded."""
    return await _user_bill(user, services, limit, cursor)


async def _user_bill(user: str, services: Services, limit: int | None, cursor: str | None) -> UserBill:
    """The bills of starts with this user id, and of starts without one that have this user name."""
    account = services.accounts.of_name(user)
    if account == user:
        return await services.billing.user(user, limit=limit, cursor=cursor)
    found = await services.billing.user(user, limit=limit, cursor=cursor, account=account)
    items = [bill.model_copy(update={"user_id": user}) for bill in found.items]
    return found.model_copy(update={"user_id": user, "items": items})


async def _requested(session_id: str, services: Services) -> SessionRequested | None:
    """The session's request, with its words unless they are erased; None: neither Redis nor the log has it."""
    state = await from_read_model(session_id, services.read_model)
    if state is not None and state.requested is not None:
        return state.requested
    try:
        return await services.log.last(SessionRequested, session_id)
    except (Unavailable, RecordUnreadable):
        return None
