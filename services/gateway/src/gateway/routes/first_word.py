"""The scheduler's first decision about a start, for times when its queue may be full."""

import asyncio
from typing import Final

from contracts.errors import START_PENDING, Refused
from contracts.events import SessionEnded, SessionRequested
from gateway.domain.waiting import failure
from gateway.ports import NatsUnavailable
from gateway.routes.services import Services

_PAUSES_S: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)


async def hear_the_scheduler(session_id: str, services: Services, *, until: float) -> None:
    """Wait until the scheduler has queued, assigned or ended the session.

    Without a leader (its report expires) the start is accepted, and the next leader decides.

    Polls with reads: in a burst a consumer per start would cost more. The wait does not count for START_WAITS_MAX,
    since otherwise a burst would refuse starts that have a place in the queue; `services.first_words` limits the
    concurrent reads.

    Args:
        until: The start's deadline, on the loop's clock.

    Raises:
        Refused: The session ended, for example as `queue_full`; `start_pending`: no decision until the deadline.
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
            f"The scheduler did not decide in time whether session {session_id} has a place; "
            "repeat the start with the same Idempotency-Key.",
            retry_after_s=1,
            session_id=session_id,
        ) from error


async def _spoke(session_id: str, services: Services) -> bool:
    try:
        async with services.first_words:
            event = await services.log.latest(session_id)
    except NatsUnavailable:
        return False  # the start is in the log: wait until its deadline rather than fail with one read
    if isinstance(event, SessionEnded):
        raise failure(event)
    return event is not None and not isinstance(event, SessionRequested)
