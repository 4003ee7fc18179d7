"""The timers of a term in one heap, at most one for each session."""

import asyncio
import heapq
from collections.abc import Callable

_SLACK = 64


class Timers:
    """Calls back for a session when its timer expires; a new time replaces the former one."""

    def __init__(self, now_ms: Callable[[], int], due: Callable[[str], None]) -> None:
        self._now_ms = now_ms
        self._due = due
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._at

    def set(self, session_id: str, at_ms: int | None) -> None:
        """Call back at that time; None cancels the timer."""
        if at_ms is None:
            self._at.pop(session_id, None)
            return
        if self._at.get(session_id) == at_ms:
            return
        self._at[session_id] = at_ms
        heapq.heappush(self._heap, (at_ms, session_id))
        if len(self._heap) > 2 * len(self._at) + _SLACK:  # replaced times stay in the heap until they expire
            self._heap = [(at, sid) for sid, at in self._at.items()]
            heapq.heapify(self._heap)
        if self._heap[0][0] >= at_ms:
            self._changed.set()

    async def run(self) -> None:
        """Call back until cancelled."""
        while True:
            wait_ms = self.fire()
            self._changed.clear()
            try:
                async with asyncio.timeout(None if wait_ms is None else wait_ms / 1000):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def fire(self) -> int | None:
        """Call back for every expired timer; returns the ms until the next, None for none."""
        while self._heap:
            at_ms, session_id = self._heap[0]
            if self._at.get(session_id) != at_ms:
                heapq.heappop(self._heap)
                continue
            left = at_ms - self._now_ms()
            if left > 0:
                return left
            heapq.heappop(self._heap)
            del self._at[session_id]
            self._due(session_id)
        return None
