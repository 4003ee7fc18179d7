"""Session ids that a client chose: a used one is refused, since its second session could not be billed."""

import asyncio
from typing import Final

from chassis.logs import get_logger
from contracts.errors import NOT_BILLED_YET, SESSION_ID_TAKEN, UNKNOWN_SESSION, Refused
from contracts.events import SessionEnded
from gateway.routes.services import Services

_ASK_S: Final = 0.5

log = get_logger(__name__)


async def refuse_used(session_id: str, services: Services) -> None:
    """Refuse an id whose `requested` the log has dropped, and that has an end or a bill.

    When billing is unavailable the start continues, and billing refuses the second bill later.

    Raises:
        Refused: `session_id_taken`.
        NatsUnavailable: NATS does not answer.
    """
    if await services.log.last(SessionEnded, session_id) is not None or await _is_settled(session_id, services):
        raise Refused(SESSION_ID_TAKEN, f"Session {session_id} existed before.", session_id=session_id)


async def _is_settled(session_id: str, services: Services) -> bool:
    try:
        async with asyncio.timeout(_ASK_S):
            await services.billing.session(session_id)
    except Refused as refused:
        if refused.problem not in (UNKNOWN_SESSION, NOT_BILLED_YET):
            log.warning("session_id.not_checked", session_id=session_id, reason=refused.detail)
        return False
    except TimeoutError:
        log.warning("session_id.not_checked", session_id=session_id, reason=f"no answer from billing in {_ASK_S:g} s")
        return False
    return True
