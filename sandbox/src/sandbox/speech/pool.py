"""Recogniser processes: some wait warm, each serves one session, and none outlives the sandbox."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from sandbox.speech.forks import Ear, Forks

log = logging.getLogger(__name__)


class TooManySessions(Exception):
    """The limit of concurrent recognisers is reached."""


class EarPool:
    """Lends recognisers.

    Args:
        warm: How many wait.
        limit: The most concurrent sessions.
        words: What they take every utterance for; empty: they recognise them.
    """

    def __init__(self, warm: int, limit: int, words: str = "") -> None:
        self._forks = Forks(words)
        self._warm, self._limit = min(warm, limit), limit
        self._waiting: list[Ear] = []
        self._in_use = 0
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def fill(self) -> None:
        """Start processes until enough wait."""
        while len(self._waiting) < self._warm and not self._closed:
            self._waiting.append(await self._forks.ear())

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Ear]:
        """A recogniser for one session; it is stopped afterwards.

        Raises:
            TooManySessions: The limit is reached.
            RecogniserFailed: No process could be started.
        """
        if self._in_use >= self._limit:
            raise TooManySessions
        self._in_use += 1
        ear: Ear | None = None
        try:
            ear = self._waiting_one() or await self._forks.ear()
            self._refill()
            yield ear
        finally:
            try:
                if ear is not None:
                    await ear.close()
            finally:
                self._in_use -= 1

    def _waiting_one(self) -> Ear | None:
        """A waiting process that is alive."""
        while self._waiting:
            if (ear := self._waiting.pop()).is_alive:
                return ear
        return None

    def _refill(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self.fill())
            self._filling.add_done_callback(_report)

    async def close(self) -> None:
        """Stop every waiting process; the others end with their sessions.

        It waits for a process that is starting: a cancelled start would leave the process running.
        """
        self._closed = True
        if self._filling is not None:
            await asyncio.gather(self._filling, return_exceptions=True)
        await asyncio.gather(*(ear.close() for ear in self._waiting))
        await self._forks.close()
        self._waiting.clear()


def _report(filling: asyncio.Task[None]) -> None:
    """Log why no recogniser waits: the next session starts its own, later."""
    if not filling.cancelled() and (error := filling.exception()) is not None:
        log.error("no recogniser waits for the next session", exc_info=error)
