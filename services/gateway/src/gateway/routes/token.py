"""`POST /api/token`: a caller's LiveKit token."""

from contracts.api import TokenReply, TokenRequest
from contracts.errors import BUS_UNAVAILABLE, INVALID_SESSION_ID, SESSION_ENDED, Refused
from contracts.events import SessionEnded
from fastapi import APIRouter

from gateway.domain.access import Scope
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.services import Wired

router = APIRouter(tags=["sessions"])
SCOPE = Scope.TOKENS


@router.post(
    "/api/token",
    responses=problems(*WITH_BODY, INVALID_SESSION_ID, SESSION_ENDED, BUS_UNAVAILABLE),
    operation_id="issue_token",
)
async def issue_token(body: TokenRequest, services: Wired) -> TokenReply:
    """A token for the caller of a session, before its start or during it; it opens nothing before the room is made."""
    if await services.log.last(SessionEnded, body.session_id) is not None:
        raise Refused(SESSION_ENDED, f"Session {body.session_id} has ended.")
    token = services.tokens.mint(body.session_id, user_id=body.user_id, name=body.user_id, now=services.now())
    return TokenReply(token=token, url=services.client_url)
