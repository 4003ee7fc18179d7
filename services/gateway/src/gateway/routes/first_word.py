"""What the scheduler says first about a start, for the moments in which its queue may be full."""

import asyncio
from typing import Final

from contracts.events import SessionEnded, SessionRequested

from gateway.domain.waiting import failure
from gateway.ports import BusAway
from gateway.routes.services import Services

_FIRST_WORD_S: Final = 1.0
_PAUSES_S: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16)


async def hear_the_scheduler(session_id: str, services: Services, *, until: float) -> None:
    """Wait until the scheduler queued, assigned or ended the session, 1 s at most: then it is accepted and may wait.

    Reads instead of following: a consumer for each start of a burst costs more than a few reads. Without an answer of
    NATS it is accepted too: it stands in the log.

    Args:
        until: The request's deadline, on the loop's clock.

    Raises:
        Refused: It ended: `queue_full`, or what else the scheduler says.
    """
    try:
        async with asyncio.timeout_at(min(until, asyncio.get_running_loop().time() + _FIRST_WORD_S)):
            pauses = iter(_PAUSES_S)
            while True:
                await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
                event = await services.log.latest(session_id)
                if isinstance(event, SessionEnded):
                    raise failure(event)
                if event is not None and not isinstance(event, SessionRequested):
                    return
    except (TimeoutError, BusAway):
        return
