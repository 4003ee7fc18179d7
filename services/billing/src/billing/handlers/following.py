"""Following the log: which sessions are due, how far everything is dealt with, and what the log lost before that."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from billing.domain.backlog import Backlog, End
from billing.domain.conflict import SettledMeanwhile
from billing.domain.usage import LoggedEvent
from billing.handlers.settling import AWAY, FINAL, Settling
from billing.ports import Extent, Gap, Ledger, LedgerUnavailable, Log, LogUnavailable, Position
from chassis import logs, metrics

_BATCH: Final = 256
_QUEUED: Final = 1_024
_MOST_WAITING: Final = 10_000  # then no more is read: the log keeps it better than this process
_TURN_S: Final = 0.25  # at most until a retry that is due is made
_FIRST_RETRY_S: Final = 0.5
_LAST_RETRY_S: Final = 15.0
_STOP_S: Final = 1.0
_KEEP_POSITION_S: Final = 2.0
_SHOW_AFTER: Final = 1_000  # sequences: the scheduler's alert is at as many; fewer are shown at the next look
_STUCK_AFTER: Final = 5  # failures, in about 10 s: then a session no longer fills the log for the scheduler
_GAP_SHOWS_S: Final = 600.0

_UNBILLED: Final = metrics.gauge("billing_unbilled_sessions", "Ended sessions whose bill is not written or announced")
_STUCK: Final = metrics.gauge("billing_stuck_sessions", "Of those, the ones on which an attempt has failed")
_OLDEST: Final = metrics.gauge("billing_oldest_unbilled_seconds", "Age of the oldest of those")
_LAG: Final = metrics.gauge("billing_log_lag", "Sequences of the log between its newest message and our position")
_GAPS: Final = metrics.counter("billing_log_gap_messages_total", "Messages that the log dropped before they were read")
_UNBILLABLE: Final = metrics.counter("billing_unbillable_total", "Sessions that can never be billed (dead letters)")
_UNAVAILABLE: Final = metrics.counter("billing_unavailable_total", "Attempts that found a store away", ("store",))

log = logs.get_logger(__name__)


class LogReplaced(Exception):
    """The log is not the one that was being followed."""


@dataclass
class _Retry:
    failures: int = 0
    at: float = 0.0

    def failed(self, now: float) -> None:
        self.at = now + min(_LAST_RETRY_S, _FIRST_RETRY_S * 2 ** min(self.failures, 10))
        self.failures += 1


class Following:
    """Settles what the log says, from the position in the ledger on; it is safe to run in any number of replicas.

    A restart, an older backup of the database and an empty one begin at their position and make the same ledger. No
    session is given up for an error of a store or a bug of ours: the position stays before it.
    """

    def __init__(
        self,
        sessions: Log,
        ledger: Ledger,
        settling: Settling,
        *,
        look_every_s: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._settling = settling
        self._look_every_s = look_every_s
        self._now = now
        self._clock = clock
        self._backlog = Backlog()
        self._retries: dict[str, _Retry] = {}
        self._outage = _Retry()
        self._fetched = 0
        self._kept: Position | None = None
        self._shown: int | None = None
        self._settled_before = 0
        self._kept_at = self._looked_at = 0.0
        self._log_ms = 0
        self._gap: tuple[float, str] | None = None
        self._trouble: str | None = "the log is not read yet"

    async def run(self) -> None:
        """Follow for ever."""
        try:
            while True:
                await self._follow()
                await asyncio.sleep(_FIRST_RETRY_S)
        finally:  # a stop may have come between taking the old mark away and making the new one
            if self._shown is not None:
                with suppress(*AWAY, TimeoutError):
                    async with asyncio.timeout(_STOP_S):
                        await self._show_position()

    async def _follow(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                arrived: asyncio.Queue[LoggedEvent] = asyncio.Queue(_QUEUED)
                behind = await self.begin()
                group.create_task(self._read(behind, arrived))
                group.create_task(self._work(arrived))
        except* LogReplaced:
            log.error("log.replaced", position=self._backlog.read)
        except* AWAY as errors:
            self._trouble = str(errors.exceptions[0])
            log.warning("billing.waiting", reason=self._trouble)
        except* Exception:
            log.exception("billing.bug")

    async def begin(self) -> int:
        """Where to begin: behind the position in the ledger, or with all there is for a ledger or a log that is new.

        A ledger of a version that kept its place on the bus has bills and no position. All there is is read, so that
        no bill is missing, but until that has passed the old place, the old place is what is shown.
        """
        extent, position = await self._sessions.extent(), await self._ledger.position()
        self._backlog, self._retries, self._outage = Backlog(), {}, _Retry()
        self._kept, self._log_ms, self._fetched = position, extent.log_ms, 0
        self._shown, self._settled_before, self._looked_at = None, 0, self._clock()
        if position is None and not await self._ledger.is_empty():
            self._settled_before = min(await self._sessions.shown_position(), extent.last_seq)
        if position is None or position.log_ms != extent.log_ms or position.seq > extent.last_seq:
            if position is not None:
                log.error("log.is_another", position=position.seq, first_seq=extent.first_seq, last_seq=extent.last_seq)
            self._backlog.read = extent.first_seq - 1
            return self._backlog.read
        self._backlog.read = position.seq
        await self._look_for_gap(extent)
        return self._backlog.read

    async def reason_unready(self) -> str | None:
        """A store that is away, or, for ten minutes, what the log dropped before it was read."""
        if self._gap is not None and self._clock() - self._gap[0] < _GAP_SHOWS_S:
            return self._gap[1]
        return self._trouble

    async def turn(self, arrived: list[LoggedEvent]) -> None:
        """Take in what arrived, and settle what is due now."""
        for record in arrived:
            self._backlog.follow(record)
        if self._backlog.unknown:
            try:
                settled = await self._ledger.settlements(list(self._backlog.unknown))
                self._backlog.learn({s: End(each.ended_seq, each.settled_ms) for s, each in settled.items()})
            except LedgerUnavailable as error:
                self._away(error)
        now = self._clock()
        ready = [s for s in self._backlog.due if s not in self._retries or self._retries[s].at <= now][:_BATCH]
        if ready and self._outage.at <= now:
            outcome = await self._settling.settle({s: self._backlog.due[s] for s in ready})
            await self._conclude(outcome)
        self._show()
        await self._keep_position()

    async def _read(self, behind: int, arrived: asyncio.Queue[LoggedEvent]) -> None:
        async for record in self._sessions.follow(behind):
            await arrived.put(record)
            self._fetched = record.seq

    async def _work(self, arrived: asyncio.Queue[LoggedEvent]) -> None:
        while True:
            batch: list[LoggedEvent] = []
            if self._backlog.waiting < _MOST_WAITING:
                try:
                    async with asyncio.timeout(_TURN_S):
                        batch.append(await arrived.get())
                except TimeoutError:
                    pass
                while len(batch) < _BATCH and not arrived.empty():
                    batch.append(arrived.get_nowait())
            else:
                await asyncio.sleep(_TURN_S)
            await self.turn(batch)
            if self._clock() - self._looked_at >= self._look_every_s:
                self._looked_at = self._clock()
                await self.look(is_idle=not batch)

    async def look(self, *, is_idle: bool) -> None:
        """Compare with the log itself: is it still the same, has it dropped what is not read, is nothing left.

        Raises:
            LogReplaced: It is another one.
        """
        try:
            extent = await self._sessions.extent()
            if extent.log_ms != self._log_ms or extent.last_seq < self._backlog.read:
                raise LogReplaced
            _LAG.set(extent.last_seq - self._backlog.position)
            newest = await self._sessions.newest()
            if newest > max(self._backlog.read, self._fetched):
                await self._look_for_gap(extent)
            await self._show_position()  # also where it has not moved: it may have gone with a lost store
            if is_idle and newest <= self._backlog.read:
                self._backlog.read = max(self._backlog.read, extent.last_seq)  # the rest changes no bill
        except AWAY as error:
            self._away(error)

    async def _look_for_gap(self, extent: Extent) -> None:
        first, last = max(self._backlog.read, self._fetched, self._settled_before) + 1, extent.first_seq - 1
        if last < first:
            return
        _GAPS.inc(last - first + 1)
        self._gap = self._clock(), f"the log dropped its messages {first} to {last} before they were read"
        log.error("log.gap", first_seq=first, last_seq=last, messages=last - first + 1)
        await self._ledger.keep_gap(Gap(first, last, int(self._now() * 1000)))
        self._backlog.read = max(self._backlog.read, last)

    async def _conclude(self, outcome: Mapping[str, Exception | None]) -> None:
        away = [error for error in outcome.values() if isinstance(error, AWAY)]
        if len(away) == len(outcome) and outcome.keys() <= self._retries.keys():
            for session_id, error in zip(outcome, away, strict=True):
                self._later(session_id, error)  # it failed where others did not: the others need not wait
            return
        if len(away) == len(outcome):
            self._away(away[0])
            self._outage.failed(self._clock())
            log.warning("billing.waiting", sessions=self._backlog.waiting, reason=str(away[0]))
            return
        self._trouble, self._outage = None, _Retry()
        for session_id, error in outcome.items():
            if isinstance(error, FINAL) and not await self._bury(session_id, error):
                continue
            if error is None or isinstance(error, FINAL):
                self._backlog.due.pop(session_id, None)
                self._retries.pop(session_id, None)
                continue
            if not isinstance(error, (*AWAY, SettledMeanwhile)):
                log.error("session.bug", session_id=session_id, exc_info=error)
            self._later(session_id, error)

    async def _bury(self, session_id: str, reason: Exception) -> bool:
        try:
            await self._sessions.bury(self._backlog.due[session_id].cause, str(reason))
        except LogUnavailable as error:
            self._later(session_id, error)
            return False
        _UNBILLABLE.inc()
        log.error("session.unbillable", session_id=session_id, reason=str(reason))
        return True

    def _later(self, session_id: str, error: Exception) -> None:
        retry = self._retries.setdefault(session_id, _Retry())
        retry.failed(self._clock())
        self._backlog.due[session_id] = self._backlog.due.pop(session_id)  # the others come first
        log.warning("session.retry_later", session_id=session_id, failures=retry.failures, reason=str(error))

    def _away(self, error: Exception) -> None:
        _UNAVAILABLE.labels("log" if isinstance(error, LogUnavailable) else "ledger").inc()
        self._trouble = str(error)

    def _show(self) -> None:
        oldest_ms = self._backlog.oldest_ms
        _UNBILLED.set(len(self._backlog.due))
        _STUCK.set(len(self._backlog.due) if self._outage.failures else len(self._retries))
        _OLDEST.set(0 if oldest_ms is None else max(0.0, self._now() - oldest_ms / 1000))
        if not self._backlog.waiting:
            self._trouble = None

    async def _keep_position(self) -> None:
        """Write it behind the bills and their announcements; what a crash leaves between is settled again, the same."""
        position = Position(self._log_ms, self._backlog.position)
        if self._clock() - self._kept_at < _KEEP_POSITION_S:
            return
        self._kept_at = self._clock()
        try:
            if position != self._kept and position.seq >= self._settled_before:
                await self._ledger.advance(position)
                self._kept = position
            if self._shown is not None and self._to_show() - self._shown >= _SHOW_AFTER:
                await self._show_position()
        except AWAY as error:
            self._away(error)

    def _to_show(self) -> int:
        """The position without the stuck sessions: those have an alert, and must not stop the starts."""
        return self._backlog.position_without([s for s, r in self._retries.items() if r.failures >= _STUCK_AFTER])

    async def _show_position(self) -> None:
        seq = self._to_show()
        if seq >= self._settled_before:
            await self._sessions.show_position(seq, may_go_back=self._shown is None)
            self._shown = seq
