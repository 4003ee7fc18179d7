"""What the scheduler says first about a start, for the moments in which its queue may be full."""

import asyncio
from typing import Final

from contracts.errors import START_PENDING, Refused
from contracts.events import SessionEnded, SessionRequested

from gateway.domain.waiting import failure
from gateway.ports import BusAway
from gateway.routes.services import Services

_PAUSES_S: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)


async def hear_the_scheduler(session_id: str, services: Services, *, until: float) -> None:
    """Wait until the scheduler queued, assigned or ended the session: only then is it known to have a place.

    Without a leader, whose report expires, it is accepted: the next leader decides.

    Reads instead of following: a consumer for each start of a burst costs more than a few reads. A start takes no
    place of START_WAITS_MAX for it, or a burst would refuse starts that have one in the queue; what it costs NATS is
    bounded by `services.first_words`.

    Args:
        until: The start's deadline, on the loop's clock.

    Raises:
        Refused: It ended: `queue_full`, or what else the scheduler says; `start_pending`: the scheduler said nothing.
    """
    pauses = iter(_PAUSES_S)
    try:
        async with asyncio.timeout_at(until):
            while True:
                await asyncio.sleep(next(pauses, _PAUSES_S[-1]))
                is_led = services.queue.may_be_full(None)
                if await _spoke(session_id, services) or not is_led:
                    return
    except TimeoutError as error:
        raise Refused(
            START_PENDING,
            f"The scheduler did not say in time whether session {session_id} has a place; "
            "repeat the start with the same Idempotency-Key.",
            retry_after_s=1,
            session_id=session_id,
        ) from error


async def _spoke(session_id: str, services: Services) -> bool:
    try:
        async with services.first_words:
            event = await services.log.latest(session_id)
    except BusAway:
        return False  # the start stands in the log: its deadline decides, not one read
    if isinstance(event, SessionEnded):
        raise failure(event)
    return event is not None and not isinstance(event, SessionRequested)
