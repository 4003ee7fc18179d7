"""Runs the sessions' steps: one at a time for each session, many sessions at once."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final

from chassis import logs
from chassis.tasks import Tasks
from scheduler.leader.timers import Timers
from scheduler.ports import Outrun, Unavailable

_AT_ONCE: Final = 128  # sessions; each waits only for NATS, never for a node or LiveKit
_RETRY_MS: Final = 250
_AFTER_A_BUG_MS: Final = 5_000
_CANCEL_S: Final = 1.0
_MOST_OUTRUNS: Final = 1  # lost compare-and-sets in one run; after more, reading back does not help

log = logs.get_logger(__name__)


class Steps:
    """Acts from `begin` until `stop`; a session that is woken during its step takes another one.

    Attributes:
        timers: When to wake each session at the latest.
        has_begun: `begin` was called, and `stop` was not.

    Args:
        step: Decides about a session once and acts; True: there may be more to decide.
        read_back: Reads a session again after a compare-and-set was lost.
        now_ms: The log's time.
        is_leading: Whether the lease is ours.
        is_known: Whether a session is followed.
    """

    def __init__(
        self,
        step: Callable[[str], Awaitable[bool]],
        read_back: Callable[[str], Awaitable[None]],
        *,
        now_ms: Callable[[], int],
        is_leading: Callable[[], bool],
        is_known: Callable[[str], bool],
    ) -> None:
        self.timers = Timers(now_ms, self.wake)
        self._step = step
        self._read_back = read_back
        self._now_ms = now_ms
        self._is_leading = is_leading
        self._is_known = is_known
        self.has_begun = False
        self._running: set[str] = set()
        self._again: set[str] = set()
        self._tasks = Tasks()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @property
    def are_acting(self) -> bool:
        """Whether steps may act: begun, not stopped, and the lease is ours."""
        return self.has_begun and self._is_leading()

    def begin(self, session_ids: Iterable[str]) -> None:
        """Act from now on, beginning with these sessions."""
        self.has_begun = True
        for session_id in session_ids:
            self.wake(session_id)

    async def stop(self) -> None:
        """Cancel every step and everything beside them; another leader repeats it."""
        self.has_begun = False
        await self._tasks.cancel(_CANCEL_S)

    def wake(self, session_id: str) -> None:
        """Step a session; a moment later if the lease is not ours now."""
        if not self.has_begun or not self._is_known(session_id):
            return
        if not self._is_leading():
            self.timers.set(session_id, self._now_ms() + _RETRY_MS)
            return
        if session_id in self._running:
            self._again.add(session_id)
            return
        self._running.add(session_id)
        self.beside(self._run(session_id))

    def is_idle(self, session_id: str) -> bool:
        """Whether a session has neither a timer nor a running step."""
        return session_id not in self.timers and session_id not in self._running

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run this beside every step, until the term ends."""
        self._tasks.spawn(work)

    async def _run(self, session_id: str) -> None:
        retry_ms: int | None = None
        try:
            async with self._turns:
                with logs.bind_session(session_id):
                    await self._step_while_woken(session_id)
        except Unavailable as error:
            log.warning("step.postponed", session_id=session_id, reason=str(error))
            retry_ms = _RETRY_MS
        except Exception:
            log.exception("step.bug", session_id=session_id)
            retry_ms = _AFTER_A_BUG_MS
        finally:
            self._running.discard(session_id)
        if retry_ms is None and not self._is_leading():
            retry_ms = _RETRY_MS
        if retry_ms is not None and self.has_begun and self._is_known(session_id):
            self._again.discard(session_id)
            self.timers.set(session_id, self._now_ms() + retry_ms)
        elif session_id in self._again:
            self._again.discard(session_id)
            self.wake(session_id)

    async def _step_while_woken(self, session_id: str) -> None:
        more, outrun = True, 0
        while (more or session_id in self._again) and self.are_acting:
            self._again.discard(session_id)
            try:
                more = await self._step(session_id)
            except Outrun as error:
                outrun += 1
                if outrun > _MOST_OUTRUNS:
                    raise Unavailable(f"outrun {outrun} times: {error}") from error
                await self._read_back(session_id)
                more = True
