"""The one retry loop: the same call again until it succeeds, fails for good, or the deadline is near."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from chassis.nats.errors import BusClosed, BusUnavailable

T = TypeVar("T")

_PAUSE_S: Final = 0.1


async def retried(
    attempt: Callable[[float], Awaitable[T]],
    *,
    deadline_s: float,
    pause_s: float = _PAUSE_S,
    final: tuple[type[BusUnavailable], ...] = (),
) -> T:
    """Await `attempt(seconds_left)` until it returns.

    Args:
        final: Errors that a retry cannot mend; `BusClosed` always is one.

    Raises:
        BusUnavailable: The last attempt's, when the deadline leaves no time for a pause and another one.
    """
    until = time.monotonic() + deadline_s
    while True:
        try:
            return await attempt(until - time.monotonic())
        except BusUnavailable as error:
            if isinstance(error, (BusClosed, *final)) or time.monotonic() + pause_s >= until:
                raise
        await asyncio.sleep(pause_s)
