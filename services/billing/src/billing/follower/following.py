"""Following the log: reads its events in order, settles what is due, and detects a gap or a replaced log."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from billing.domain.backlog import Backlog, End
from billing.domain.retry import FIRST_RETRY_S
from billing.domain.usage import Recorded
from billing.follower.attempts import Attempts
from billing.follower.positions import Positions
from billing.follower.readiness import Readiness
from billing.follower.settling import Settling
from billing.ports import Extent, Gap, Ledger, LedgerUnavailable, Position, SessionLog, Unavailable
from chassis import logs, metrics

_BATCH: Final = 256
_QUEUED: Final = 1_024
_MOST_WAITING: Final = 10_000  # at so many unsettled sessions billing stops reading: the log is the better store
_TURN_S: Final = 0.25  # the longest wait for new events, and so the delay of a retry that is due
_STOP_S: Final = 1.0

_LAG: Final = metrics.gauge("billing_log_lag", "Sequences of the log between its newest message and our position")
_GAPS: Final = metrics.counter("billing_log_gap_messages_total", "Messages that the log dropped before they were read")

log = logs.get_logger(__name__)


class LogReplaced(Exception):
    """The stream was deleted and created again: its sequences have another meaning."""


class Following:
    """Settles the log's sessions from the ledger's position on; safe in any number of replicas.

    A restart, an older backup of the database and an empty one begin at their position and produce the same ledger. No
    error of a store and no bug loses a session: the position stays before it.
    """

    def __init__(
        self,
        sessions: SessionLog,
        ledger: Ledger,
        settling: Settling,
        *,
        look_every_s: float,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._look_every_s = look_every_s
        self._now = now
        self._clock = clock
        self.readiness = Readiness(clock)
        self._attempts = Attempts(sessions, settling, self.readiness, now=now, clock=clock)
        self._positions = Positions(sessions, ledger, clock)
        self._backlog = Backlog()
        self._fetched = 0
        self._log_ms = 0
        self._looked_at = 0.0

    async def run(self) -> None:
        try:
            while True:
                await self._follow()
                await asyncio.sleep(FIRST_RETRY_S)
        finally:
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await self._positions.show_again(self._to_show)

    async def _follow(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                arrived: asyncio.Queue[Recorded] = asyncio.Queue(_QUEUED)
                after = await self.begin()
                group.create_task(self._read(after, arrived))
                group.create_task(self._work(arrived))
        except* LogReplaced:
            log.error("log.replaced", position=self._backlog.read)
        except* Unavailable as errors:
            self.readiness.trouble = str(errors.exceptions[0])
            log.warning("billing.waiting", reason=self.readiness.trouble)
        except* Exception:
            log.exception("billing.bug")

    async def begin(self) -> int:
        """Reset, and return the sequence after which reading begins."""
        extent = await self._sessions.extent()
        after = await self._positions.begin(extent)
        self._attempts.reset()
        self._backlog, self._log_ms, self._fetched, self._looked_at = Backlog(), extent.log_ms, 0, self._clock()
        self._backlog.read = after
        await self._check_gap(extent)
        return self._backlog.read

    async def turn(self, arrived: list[Recorded]) -> None:
        """Add the events to the backlog, settle what is due, and move the positions."""
        for record in arrived:
            self._backlog.follow(record)
        if self._backlog.unknown:
            try:
                settled = await self._ledger.settlements(list(self._backlog.unknown))
                self._backlog.learn({s: End(each.log.ended_seq, each.settled_ms) for s, each in settled.items()})
            except LedgerUnavailable as error:
                self.readiness.unavailable(error)
        await self._attempts.settle(self._backlog)
        try:
            await self._positions.keep(Position(self._log_ms, self._backlog.position), self._to_show)
        except Unavailable as error:
            self.readiness.unavailable(error)

    async def _read(self, after: int, arrived: asyncio.Queue[Recorded]) -> None:
        async for record in self._sessions.follow(after):
            await arrived.put(record)
            self._fetched = record.seq

    async def _work(self, arrived: asyncio.Queue[Recorded]) -> None:
        while True:
            batch: list[Recorded] = []
            if self._backlog.waiting < _MOST_WAITING:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TURN_S):
                        batch.append(await arrived.get())
                while len(batch) < _BATCH and not arrived.empty():
                    batch.append(arrived.get_nowait())
            else:
                await asyncio.sleep(_TURN_S)
            await self.turn(batch)
            if self._clock() - self._looked_at >= self._look_every_s:
                self._looked_at = self._clock()
                await self.look(is_idle=not batch)

    async def look(self, *, is_idle: bool) -> None:
        """Compare with the stream itself: its identity, a gap, and whether unread messages change any bill.

        Raises:
            LogReplaced: The stream was created again.
        """
        try:
            extent = await self._sessions.extent()
            if extent.log_ms != self._log_ms or extent.last_seq < self._backlog.read:
                raise LogReplaced
            _LAG.set(extent.last_seq - self._backlog.position)
            newest = await self._sessions.newest()
            if newest > max(self._backlog.read, self._fetched):
                await self._check_gap(extent)
            await self._positions.show(self._to_show)  # even if unchanged: NATS may have lost the mark with its store
            if is_idle and newest <= self._backlog.read:
                self._backlog.read = max(self._backlog.read, extent.last_seq)  # the remaining messages change no bill
        except Unavailable as error:
            self.readiness.unavailable(error)

    async def _check_gap(self, extent: Extent) -> None:
        first = max(self._backlog.read, self._fetched, self._positions.settled_before) + 1
        last = extent.first_seq - 1
        if last < first:
            return
        self.readiness.gap(f"the log dropped its messages {first} to {last} before they were read")
        await self._ledger.keep_gap(Gap(first, last, int(self._now() * 1000)))
        _GAPS.inc(last - first + 1)  # once, also if the ledger was unavailable at first
        log.error("log.gap", first_seq=first, last_seq=last, messages=last - first + 1)
        self._backlog.read = max(self._backlog.read, last)

    @property
    def _to_show(self) -> int:
        return self._backlog.position_without(self._attempts.stuck)
