"""`DELETE /v1/sessions/{id}`: erase a session's words and names."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Final

from fastapi import APIRouter, Path

from chassis.logs import bind_session, get_logger
from contracts.errors import (
    BUS_UNAVAILABLE,
    INVALID_SESSION_ID,
    LOG_FULL,
    LOG_REFUSED,
    REDIS_UNAVAILABLE,
    SESSION_RUNNING,
    SESSION_UNREADABLE,
    UNKNOWN_SESSION,
)
from contracts.events import SessionErased, SessionRequested
from contracts.ids import SessionId
from contracts.transcript import Erasure
from gateway.domain.access import Scope
from gateway.domain.erasure import account_is_name, check_erasable, configs_of, readable_until
from gateway.domain.read_model import SessionState
from gateway.ports import ReadModelUnavailable, SessionIdTaken
from gateway.routes.documented import problems
from gateway.routes.finding import unknown
from gateway.routes.services import Services, Wired

log = get_logger(__name__)
router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_READ_MODEL_WAIT_S: Final = 2.0
_READ_MODEL_POLL_S: Final = 0.02
_EXAMPLE: Final = {
    "sessionId": "session_1795521600123_0a1b2c3d4e5f",
    "erased": True,
    "erasedAt": "2026-11-24T14:00:00Z",
    "accountIsName": False,
    "redisCleaned": True,
    "logUntil": None,
}


@router.delete(
    "/v1/sessions/{session_id}",
    responses=problems(
        INVALID_SESSION_ID,
        UNKNOWN_SESSION,
        SESSION_UNREADABLE,
        SESSION_RUNNING,
        BUS_UNAVAILABLE,
        LOG_FULL,
        LOG_REFUSED,
        REDIS_UNAVAILABLE,
    )
    | {200: {"content": {"application/json": {"example": _EXAMPLE}}}},
    operation_id="erase_session",
)
async def erase_session(session_id: Annotated[SessionId, Path()], services: Wired) -> Erasure:
    """Erase what was said, the prompts, the names and the metadata; the timeline and the bill keep their numbers.

    The request can be repeated, and a repetition finishes what an interrupted one began. A running session is refused,
    and one without a bill until 6 hours after its end. The account that pays stays in the log and the bill, the user's
    name only with `accountIsName`.
    """
    with bind_session(session_id):
        events = await services.log.history(session_id)
        state = await services.read_model.get(session_id) or SessionState(session_id=session_id)
        requests = [event for event in (*events, state.requested) if isinstance(event, SessionRequested)]
        if not requests:
            await unknown(session_id, services.log)
        known = next((event for event in events if isinstance(event, SessionErased)), None)
        if known is None:
            known_events = [event for event in (*events, state.ended, state.billed) if event is not None]
            check_erasable(session_id, known_events, services.now())
        erased = known or await _announce(session_id, requests, services)
        # Before the key: without it the log has no name.
        await services.read_model.delete_from_lists(session_id, configs_of(requests))
        await services.words.erase(session_id)
        await services.seats.erase(session_id)
        cleaned = await _read_model_follows(session_id, services, was_announced=known is not None)
        left = readable_until(await services.log.history(session_id), await services.log.max_age())
        log.info("session.erased", log_until=left, redis_cleaned=cleaned)
    return Erasure(
        session_id=session_id,
        erased_at=erased.time,
        account_is_name=erased.account_is_name,
        redis_cleaned=cleaned,
        log_until=left,
    )


async def _announce(session_id: str, requests: Iterable[SessionRequested], services: Services) -> SessionErased:
    """Log the erasure first: whatever stops this gateway afterwards, the projector finishes it."""
    event = SessionErased(session_id=session_id, time=services.now(), account_is_name=account_is_name(requests))
    try:
        await services.log.open(event)
    except SessionIdTaken:
        return await services.log.last(SessionErased, session_id) or event
    return event


async def _read_model_follows(session_id: str, services: Services, *, was_announced: bool) -> bool:
    """Wait a moment until Redis is clean, too; the projector cleans it later otherwise.

    Args:
        was_announced: By an earlier request: what Redis does not have now was cleaned, or has expired.
    """
    with suppress(TimeoutError, ReadModelUnavailable):
        async with asyncio.timeout(_READ_MODEL_WAIT_S):
            while True:
                state = await services.read_model.get(session_id)
                if was_announced if state is None else state.erased is not None:
                    return True
                await asyncio.sleep(_READ_MODEL_POLL_S)
    return False
