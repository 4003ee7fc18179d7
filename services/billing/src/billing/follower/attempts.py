"""Attempts to settle the sessions that are due; a session that fails is retried and blocks no other."""

from collections.abc import Callable, Mapping
from typing import Final

from billing.domain.backlog import Backlog
from billing.domain.conflict import SettledMeanwhile
from billing.domain.retry import Retry
from billing.follower.readiness import Readiness
from billing.follower.settling import FINAL, Settling
from billing.ports import LogUnavailable, SessionLog, Unavailable
from chassis import logs, metrics

_BATCH: Final = 256
_STUCK_AFTER: Final = 5  # failures, in about 10 s: after that a session no longer counts as unread for the scheduler

_UNBILLED: Final = metrics.gauge("billing_unbilled_sessions", "Ended sessions whose bill is not written or announced")
_STUCK: Final = metrics.gauge("billing_stuck_sessions", "Of those, the ones on which an attempt has failed")
_OLDEST: Final = metrics.gauge("billing_oldest_unbilled_seconds", "Age of the oldest of those")
_UNBILLABLE: Final = metrics.counter("billing_unbillable_total", "Sessions that can never be billed (dead letters)")

log = logs.get_logger(__name__)


class Attempts:
    """Settles what is due, with a retry time per session and one for an outage of a store."""

    def __init__(
        self,
        sessions: SessionLog,
        settling: Settling,
        readiness: Readiness,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._settling = settling
        self._readiness = readiness
        self._now = now
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        self._retries: dict[str, Retry] = {}
        self._outage = Retry()

    @property
    def stuck(self) -> list[str]:
        """Sessions with an alert of their own, which must not stop the starts."""
        return [session_id for session_id, retry in self._retries.items() if retry.failures >= _STUCK_AFTER]

    async def settle(self, backlog: Backlog) -> None:
        """Attempt every session whose retry time has come."""
        now = self._clock()
        ready = [s for s in backlog.due if s not in self._retries or self._retries[s].at <= now][:_BATCH]
        if ready and self._outage.at <= now:
            outcome = await self._settling.settle({s: backlog.due[s] for s in ready})
            await self._apply(outcome, backlog)
        oldest_ms = backlog.oldest_ms
        _UNBILLED.set(len(backlog.due))
        _STUCK.set(len(backlog.due) if self._outage.failures else len(self._retries))
        _OLDEST.set(0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000))
        if not backlog.waiting:
            self._readiness.trouble = None

    async def _apply(self, outcome: Mapping[str, Exception | None], backlog: Backlog) -> None:
        unavailable = [error for error in outcome.values() if isinstance(error, Unavailable)]
        if len(unavailable) == len(outcome):
            if outcome.keys() <= self._retries.keys():  # sessions that failed before while others succeeded
                for session_id, error in zip(outcome, unavailable, strict=True):
                    self._retry(session_id, error, backlog)
                return
            self._readiness.unavailable(unavailable[0])
            self._outage = self._outage.failed(self._clock())
            log.warning("billing.waiting", sessions=backlog.waiting, reason=str(unavailable[0]))
            return
        self._readiness.trouble, self._outage = None, Retry()
        for session_id, error in outcome.items():
            if isinstance(error, FINAL) and not await self._bury(session_id, error, backlog):
                continue
            if error is None or isinstance(error, FINAL):
                backlog.due.pop(session_id, None)
                self._retries.pop(session_id, None)
                continue
            if not isinstance(error, Unavailable | SettledMeanwhile):
                log.error("session.bug", session_id=session_id, exc_info=error)
            self._retry(session_id, error, backlog)

    async def _bury(self, session_id: str, reason: Exception, backlog: Backlog) -> bool:
        try:
            await self._sessions.bury(backlog.due[session_id].cause, str(reason))
        except LogUnavailable as error:
            self._retry(session_id, error, backlog)
            return False
        _UNBILLABLE.inc()
        log.error("session.unbillable", session_id=session_id, reason=str(reason))
        return True

    def _retry(self, session_id: str, error: Exception, backlog: Backlog) -> None:
        retry = self._retries[session_id] = self._retries.get(session_id, Retry()).failed(self._clock())
        backlog.due[session_id] = backlog.due.pop(session_id)  # behind the others
        log.warning("session.retry_later", session_id=session_id, failures=retry.failures, reason=str(error))
