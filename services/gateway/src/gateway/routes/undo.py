"""The room of a start that failed: closed, unless a session of the log owns it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from chassis.logs import get_logger
from contracts.errors import CLOCK_SKEW, LIVEKIT_REFUSED, LIVEKIT_UNAVAILABLE, Refused
from contracts.events import SessionRequested

from gateway.routes.services import Services

log = get_logger(__name__)

UNDO_S: Final = 2.0
"""The longest that a failed start waits for its undo, in seconds."""


@asynccontextmanager
async def room_undone_on_failure(session_id: str, services: Services) -> AsyncGenerator[None]:
    """Close the room when the block fails or is cancelled. A cancellation ends the wait, not the undo."""
    try:
        yield
    except BaseException as error:
        undo = services.background.spawn(undo_room(session_id, services))
        if not _answers_first(error):
            await asyncio.shield(undo)
        raise


def _answers_first(error: BaseException) -> bool:
    """Whether the answer goes out before the undo is done.

    A cancelled start has no time left: its deadline is over, its client gone or the gateway stopping. While LiveKit
    fails the undo only prolongs the answer; the room closes by its empty timeout at the latest.
    """
    if isinstance(error, Refused):
        return error.problem in (LIVEKIT_UNAVAILABLE, LIVEKIT_REFUSED, CLOCK_SKEW)
    return isinstance(error, asyncio.CancelledError)


async def undo_room(session_id: str, services: Services) -> None:
    """Close the room of a start that came to nothing.

    The log decides: another try of this start, or this one with a lost acknowledgement, may own the room. When the log
    cannot be read, the room stays until its empty timeout or the reconciler closes it.
    """
    try:
        async with asyncio.timeout(UNDO_S):
            if await services.log.last(SessionRequested, session_id) is not None:
                return
            await services.rooms.delete(session_id)
            if await services.log.last(SessionRequested, session_id) is not None:
                await services.rooms.create(session_id)  # published while we deleted
    except Refused as refused:
        log.warning("room.not_undone", session_id=session_id, reason=refused.detail)
    except TimeoutError:
        log.warning("room.not_undone", session_id=session_id, reason=f"not done in {UNDO_S:g} s")
