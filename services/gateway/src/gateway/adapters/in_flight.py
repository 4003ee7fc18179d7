"""A bound on the calls that are in flight to one server."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class InFlight:
    """At most `most` calls at once; more wait, first come, first served.

    The wait is not part of a call's deadline: a burst takes longer instead of failing. It ends when the server has
    answered nothing for `silent_s`; otherwise one row of calls after the other would fail.

    Args:
        silent_s: Seconds without `answered` after which the waiting calls fail.
    """

    def __init__(self, most: int, silent_s: float) -> None:
        self._places = asyncio.Semaphore(most)
        self._silent_s = silent_s
        self._answered_at = -math.inf

    @asynccontextmanager
    async def in_line(self) -> AsyncGenerator[None]:
        """Around one call.

        Raises:
            TimeoutError: The server was silent while the call waited in line.
        """
        await self._wait()
        try:
            yield
        finally:
            self._places.release()

    def answered(self) -> None:
        """Note an answer of the server, an error too."""
        self._answered_at = asyncio.get_running_loop().time()

    async def _wait(self) -> None:
        now = asyncio.get_running_loop().time
        came = now()
        place = asyncio.ensure_future(self._places.acquire())
        try:
            while not place.done():
                left_s = max(came, self._answered_at) + self._silent_s - now()
                if left_s <= 0:
                    raise TimeoutError
                await asyncio.wait({place}, timeout=left_s)
        except BaseException:
            if not place.cancel():  # it has the place already
                self._places.release()
            raise
