"""`POST /api/token`: a caller's LiveKit token."""

from fastapi import APIRouter

from chassis.logs import bind_session, get_logger
from contracts.api import TokenReply, TokenRequest
from contracts.errors import (
    BUS_UNAVAILABLE,
    INVALID_SESSION_ID,
    LOG_FULL,
    NOT_SESSION_OWNER,
    SEATS_FULL,
    SESSION_ENDED,
    SESSION_UNREADABLE,
    Refused,
)
from contracts.events import SessionEnded
from gateway.domain.access import Scope
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.ownership import check_owner
from gateway.routes.services import Wired

log = get_logger(__name__)
router = APIRouter(tags=["sessions"])
SCOPE = Scope.TOKENS


@router.post(
    "/api/token",
    responses=problems(
        *WITH_BODY,
        INVALID_SESSION_ID,
        NOT_SESSION_OWNER,
        SESSION_ENDED,
        SESSION_UNREADABLE,
        SEATS_FULL,
        BUS_UNAVAILABLE,
        LOG_FULL,
    ),
    operation_id="issue_token",
)
async def issue_token(body: TokenRequest, services: Wired) -> TokenReply:
    """A token for the caller of a session, before or after its start; it is useless before the room exists.

    It is for the session's own user only: `userId` is the start's `userName` or `userId`. Before the start, the first
    user who asks keeps the session id for two hours, and a start for another user is refused.
    """
    with bind_session(body.session_id):
        await check_owner(body.session_id, body.user_id, services)
        if await services.log.last(SessionEnded, body.session_id) is not None:
            raise Refused(SESSION_ENDED, f"Session {body.session_id} has ended.")
        log.info("token.issued")
    token = services.tokens.mint(body.session_id, user_id=body.user_id, name=body.user_id, now=services.now())
    return TokenReply(token=token, url=services.client_url)
