"""Whose session it is: the caller's token is for the start's own user.

Clients may ask for the token before the start. The session has no owner then, and the token opens the room that the
start makes later. So the first user who asks for a session id, by a token or by a start, takes its seat; a start or a
token for another user is refused. Ids that the gateway makes are not known before the answer, and need no seat.
"""

from contracts.api import StartRequest
from contracts.errors import NOT_SESSION_OWNER, SESSION_ID_TAKEN, Refused
from contracts.events import SessionRequested

from gateway.domain.start import is_owner
from gateway.routes.services import Services


async def check_owner(session_id: str, user: str, services: Services) -> None:
    """Let a token be minted for the session's own user alone.

    Raises:
        Refused: `not_session_owner`. It does not tell whether the session runs, has ended, or is only reserved.
    """
    request = await services.log.last(SessionRequested, session_id)
    if request is None and session_id in services.prejoined.ids:
        raise _not_owner(session_id)
    if services.token_any_user:
        return
    if request is None:
        if await services.seats.take(session_id, user) != user:
            raise _not_owner(session_id)
        # A start that took no seat, or was faster, is in the log by now.
        request = await services.log.last(SessionRequested, session_id)
    if request is not None and not is_owner(user, request):
        raise _not_owner(session_id)


async def take_seat(body: StartRequest, services: Services) -> None:
    """Reserve the session id that a client chose for the start's user.

    Raises:
        Refused: `session_id_taken`: a token, or another start, was asked for under this id for another user.
    """
    if body.session_id is None or services.token_any_user:
        return
    holder = await services.seats.take(body.session_id, body.user_name)
    if holder not in (body.user_name, body.user_id):
        raise Refused(SESSION_ID_TAKEN, f"{body.session_id} was asked for by another user first.")


def _not_owner(session_id: str) -> Refused:
    return Refused(NOT_SESSION_OWNER, f"Session {session_id} is another user's.")
