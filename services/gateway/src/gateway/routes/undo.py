"""Closing the room of a failed start, unless a session of the log owns it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from chassis.logs import get_logger
from contracts.errors import CLOCK_SKEW, LIVEKIT_REFUSED, LIVEKIT_UNAVAILABLE, Refused
from contracts.events import SessionRequested
from gateway.ports import RecordUnreadable, Unavailable
from gateway.routes.services import Services

log = get_logger(__name__)

UNDO_S: Final = 2.0
"""Longest duration of an undo, in seconds."""


@dataclass
class AttemptedRoom:
    """The room of one start.

    Attributes:
        may_exist: It is prejoined, or its creation was requested.
    """

    may_exist: bool


@asynccontextmanager
async def room_undone_on_failure(session_id: str, services: Services, room: AttemptedRoom) -> AsyncGenerator[None]:
    """Close the room when the block fails or is cancelled; the undo continues in the background."""
    try:
        yield
    except BaseException as error:
        if not room.may_exist:
            raise
        undo = services.background.spawn(undo_room(session_id, services))
        if not _answers_first(error):
            await asyncio.shield(undo)
        raise


def _answers_first(error: BaseException) -> bool:
    """Whether the answer does not wait for the undo.

    A cancelled start has no time left: its deadline expired, its client disconnected, or the gateway stops. While
    LiveKit fails, an undo only delays the answer; the room's empty timeout closes it.
    """
    if isinstance(error, Refused):
        return error.problem in (LIVEKIT_UNAVAILABLE, LIVEKIT_REFUSED, CLOCK_SKEW)
    return isinstance(error, asyncio.CancelledError)


async def undo_room(session_id: str, services: Services) -> None:
    """Close the room of a failed start.

    The log decides: another attempt of this start, or this one with a lost acknowledgement, may own the room. When the
    log is unavailable, the room's empty timeout or the scheduler's reconciler closes it.
    """
    try:
        async with asyncio.timeout(UNDO_S):
            if await services.log.last(SessionRequested, session_id) is not None:
                return
            await services.rooms.delete(session_id)
            if await services.log.last(SessionRequested, session_id) is not None:
                await services.rooms.create(session_id)  # another attempt published meanwhile
    except (Refused, Unavailable) as error:
        log.warning("room.not_undone", session_id=session_id, reason=error.detail)
    except RecordUnreadable as error:
        log.warning("room.not_undone", session_id=session_id, reason=str(error))
    except TimeoutError:
        log.warning("room.not_undone", session_id=session_id, reason=f"not done in {UNDO_S:g} s")
