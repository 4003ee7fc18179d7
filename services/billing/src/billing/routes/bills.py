"""`GET /billing/sessions/{id}`, `GET /billing/users/{user}` and `GET /billing/users?user=`."""

from collections.abc import Awaitable
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from billing.domain.bill import view
from billing.ports import Ledger, LedgerUnavailable, LogUnavailable, SessionLog
from billing.routes import cursor
from contracts.api import MAX_BILLS_PAGE, SessionBill, UserBill
from contracts.errors import (
    BILLING_UNAVAILABLE,
    BUS_UNAVAILABLE,
    INVALID_REQUEST,
    INVALID_SESSION_ID,
    NOT_BILLED_YET,
    UNKNOWN_SESSION,
    UNKNOWN_USER,
    FieldError,
    Refused,
)
from contracts.events import SessionRequested
from contracts.ids import SessionId
from contracts.names import RecordedName

_DEFAULT_PAGE: Final = 50
_RETRY_S: Final = 2

_SESSION: Final = TypeAdapter[str](SessionId)
_USER: Final = TypeAdapter[str](RecordedName)
_LIMIT: Final = TypeAdapter[int](Annotated[int, Field(ge=1, le=MAX_BILLS_PAGE)])


class Bills:
    """Reads the ledger for HTTP."""

    def __init__(self, ledger: Ledger, sessions: SessionLog) -> None:
        self._ledger = ledger
        self._sessions = sessions

    def routes(self) -> list[Route]:
        """A user's name may contain a slash, so it is the rest of the path; `?user=` also takes `.` and `..`."""
        return [
            Route("/billing/sessions/{session_id}", self._session),
            Route("/billing/users", self._user),
            Route("/billing/users/{user_id:path}", self._user),
        ]

    async def session(self, session_id: str) -> SessionBill:
        """Raises `Refused`: unknown_session, not_billed_yet, invalid_session_id."""
        try:
            _SESSION.validate_python(session_id)
        except ValidationError as error:
            raise Refused(INVALID_SESSION_ID, f"{session_id[:80]!r} is not a valid session id") from error
        account = await self._ledger.account(session_id)
        if account is not None:
            return view(account)
        if await self._sessions.last_seq(SessionRequested.event, session_id) is not None:
            raise Refused(NOT_BILLED_YET, f"{session_id} has no bill yet", retry_after_s=1)
        raise Refused(UNKNOWN_SESSION, f"unknown session {session_id}")

    async def user(self, user_id: str, *, limit: int, after: str | None, account: str | None = None) -> UserBill:
        """One page of a user's bills, and the sums over all, those of `account` too.

        Raises `Refused`: unknown_user, invalid_request.
        """
        try:
            user_id = _USER.validate_python(user_id)
            account = None if account is None else _USER.validate_python(account)
            behind = None if after is None else cursor.read(after)
        except ValidationError as error:
            raise _bad("user", "must be 1 to 128 printable characters") from error
        except cursor.BadCursor as error:
            raise _bad("cursor", "must be the `nextCursor` of an earlier page") from error
        found = await self._ledger.user(user_id, limit=limit, behind=behind, account=account)
        if found is None:
            raise Refused(UNKNOWN_USER, f"{user_id!r} has no billed session")
        return UserBill(
            user_id=found.user_id,
            sessions=found.sessions,
            seconds=found.owed.seconds,
            minutes=found.owed.minutes,
            credits=found.owed.credits,
            items=[view(account) for account in found.page],
            next_cursor=None if found.next is None else cursor.write(found.next),
        )

    async def _session(self, request: Request) -> Response:
        return await _answer(self.session(request.path_params["session_id"]))

    async def _user(self, request: Request) -> Response:
        query = request.query_params
        try:
            limit = _LIMIT.validate_python(query.get("limit", _DEFAULT_PAGE))
        except ValidationError as error:
            raise _bad("limit", f"must be a number from 1 to {MAX_BILLS_PAGE}") from error
        user_id = request.path_params.get("user_id", query.get("user", ""))
        after, account = query.get("cursor"), query.get("account")
        return await _answer(self.user(user_id, limit=limit, after=after, account=account))


def _bad(field: str, wanted: str) -> Refused:
    return Refused(INVALID_REQUEST, f"Invalid fields: {field}", errors=(FieldError(field=field, message=wanted),))


async def _answer(body: Awaitable[SessionBill | UserBill]) -> Response:
    try:
        return Response((await body).model_dump_json(by_alias=True), media_type="application/json")
    except LedgerUnavailable as error:
        cause = f"the billing database does not answer: {error.reason}"
        raise Refused(BILLING_UNAVAILABLE, cause, retry_after_s=_RETRY_S) from error
    except LogUnavailable as error:
        raise Refused(BUS_UNAVAILABLE, error.reason, retry_after_s=_RETRY_S) from error
