"""The owner of a session: only the start's user gets a caller's token.

A client may ask for a token before the start, when the session has no owner yet, and the token opens the later room.
So the first user who asks for a session id, with a token or a start, takes its seat; tokens and starts for another
user are refused. An id that the gateway makes is unknown before the answer, and needs no seat.
"""

from contracts.api import StartRequest
from contracts.errors import NOT_SESSION_OWNER, SESSION_ID_TAKEN, Refused
from contracts.events import SessionRequested
from gateway.domain.start import is_owner
from gateway.routes.services import Services


async def check_owner(session_id: str, user: str, services: Services) -> None:
    """Check that the session is this user's.

    Raises:
        Refused: `not_session_owner`, the same for a running, an ended and a reserved session.
    """
    request = await services.log.last(SessionRequested, session_id)
    if request is None and session_id in services.prejoined.ids:
        raise _not_owner(session_id)
    if services.token_any_user:
        return
    if request is None:
        if await services.seats.take(session_id, user) != user:
            raise _not_owner(session_id)
        # A start without a seat, or a faster one, is in the log by now.
        request = await services.log.last(SessionRequested, session_id)
    if request is not None and not is_owner(user, request):
        raise _not_owner(session_id)


async def take_seat(body: StartRequest, services: Services) -> None:
    """Reserve the session id that a client chose for the start's user.

    Raises:
        Refused: `session_id_taken`: another user asked first, with a token or a start.
    """
    if body.session_id is None or services.token_any_user:
        return
    holder = await services.seats.take(body.session_id, body.user_name)
    if holder not in (body.user_name, body.user_id):
        raise Refused(SESSION_ID_TAKEN, f"Another user asked for {body.session_id} first.")


def _not_owner(session_id: str) -> Refused:
    return Refused(NOT_SESSION_OWNER, f"Session {session_id} belongs to another user.")
