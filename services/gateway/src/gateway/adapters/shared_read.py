"""A short-lived cache of one read: a large fleet's registry is not read again for every request."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SHARE: Final = 10  # times as long as the reading took
_LONGEST_S: Final = 2.0


class SharedRead(Generic[T]):
    """One read that concurrent callers share.

    The value is cached for ten times the duration of the read, at most 2 s, so reads take at most a tenth of the time.
    A read takes a few ms in a small fleet and half a second with 1,000 nodes. Errors are not cached.
    """

    def __init__(self, read: Callable[[], Awaitable[T]], *, clock: Callable[[], float] = monotonic) -> None:
        self._read = read
        self._clock = clock
        self._reading: asyncio.Future[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """The value, at most 2 s old; raises the read's error."""
        reading = self._reading
        if reading is None or (reading.done() and (self._clock() >= self._until or _failed(reading))):
            reading = self._reading = asyncio.ensure_future(self._timed())
            reading.add_done_callback(_failed)  # retrieves the exception if every caller was cancelled
        return await asyncio.shield(reading)

    async def _timed(self) -> T:
        began = self._clock()
        value = await self._read()
        ended = self._clock()
        self._until = ended + min(_LONGEST_S, _SHARE * (ended - began))
        return value


def _failed(reading: asyncio.Future[T]) -> bool:
    return reading.cancelled() or reading.exception() is not None
