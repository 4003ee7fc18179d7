"""The pipeline's clock: it stands still while the caller cannot hear the agent."""

import asyncio
import time
from typing import Final

from pipecat.clocks.base_clock import BaseClock

_NS: Final = 1e9


class SpeechClock(BaseClock):
    """Counts the time in which the agent may be heard: not before the caller is there, not while the agent is paused.

    Pipecat places the words of an utterance on this clock. With a clock that ran on, words would count as heard whose
    audio still waits. Stage times leave out the pauses, too.
    """

    def __init__(self) -> None:
        self._counted_ns = 1  # at 0 a word would count as one without a time, and pass late
        self._running_since: int | None = None

        self._is_running = asyncio.Event()

    def start(self) -> None:
        """Do nothing: Pipecat starts the clock with the pipeline, before the caller is known."""

    def get_time(self) -> int:
        """Nanoseconds."""
        running = 0 if self._running_since is None else time.monotonic_ns() - self._running_since
        return self._counted_ns + running

    async def reach(self, time_ns: int) -> None:
        """Wait until the clock has passed this time: a word that begins where the clock stands is not heard yet."""
        while (ahead := time_ns - self.get_time()) >= 0:
            await self._is_running.wait()
            await asyncio.sleep(ahead / _NS)

    def run(self) -> None:
        if self._running_since is None:
            self._running_since = time.monotonic_ns()
            self._is_running.set()

    def stop(self) -> None:
        self._counted_ns, self._running_since = self.get_time(), None
        self._is_running.clear()
