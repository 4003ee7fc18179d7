"""Keeps the log's clock: reads the bus' clock every second, and at once when a record's stamp looks wrong."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from chassis import logs
from chassis.clock import boot_clock
from scheduler.domain.clock import LogClock, Reading
from scheduler.domain.session import Recorded
from scheduler.leader import figures
from scheduler.ports import SessionLog, Unavailable

_EVERY_S: Final = 1.0
_RETRY_S: Final = 0.25
_TRIES: Final = 8

log = logs.get_logger(__name__)


class Timekeeper:
    """One for each process, also on standby: a clock step before a term concerns the records that the term reads."""

    def __init__(
        self, clock: LogClock, session_log: SessionLog, *, monotonic: Callable[[], float] = boot_clock
    ) -> None:
        self.clock = clock
        self._log = session_log
        self._monotonic = monotonic
        self._reading = asyncio.Lock()

    async def run(self) -> None:
        """Read the clock until cancelled."""
        while True:
            try:
                await self.read()
            except Unavailable:
                await asyncio.sleep(_RETRY_S)
            except Exception:
                log.exception("clock.bug")
                await asyncio.sleep(_EVERY_S)
            else:
                await asyncio.sleep(_EVERY_S)

    async def begun(self) -> None:
        """Wait for the first reading."""
        while not self.clock.is_set:
            try:
                await self.read()
            except Unavailable as error:
                log.warning("clock.waits", reason=str(error))
                await asyncio.sleep(_RETRY_S)

    async def read(self) -> None:
        """Read the bus' clock once.

        Raises:
            Unavailable: The bus did not answer.
        """
        async with self._reading:
            asked_s = self._monotonic()
            bus_ms, last_seq = await self._log.clock()
            set_ms = self.clock.read(Reading(bus_ms, last_seq, asked_s, self._monotonic()))
        figures.CLOCK_AHEAD_S.set(bus_ms / 1000 - time.time())
        if set_ms:
            figures.CLOCK_STEPS.inc()
            log.warning("clock.was_set", seconds=round(set_ms / 1000, 1), fix="Synchronise the clocks of NATS' hosts.")

    async def check_clock(self, record: Recorded) -> None:
        """Read the clock first if the record's stamp is not near now."""
        for _ in range(_TRIES):
            if not self.clock.is_in_doubt(record.stored_ms, record.seq, self._monotonic()):
                return
            try:
                await self.read()
            except Unavailable as error:
                log.warning("clock.not_read", reason=str(error))
                await asyncio.sleep(_RETRY_S)

    def now_ms(self) -> int:
        """The log's time."""
        return self.clock.now_ms(self._monotonic())

    def bus_ms(self) -> int:
        """The bus' clock as set now, Unix ms: to date events, and to compare with other clocks' stamps."""
        return self.clock.bus_ms(self.now_ms())

    def datetime(self, log_ms: int | None = None) -> datetime:
        """A time of the log (None: now) by the bus' clock as set now."""
        return datetime.fromtimestamp(self.clock.bus_ms(self.now_ms() if log_ms is None else log_ms) / 1000, UTC)

    def log_ms(self, stored_ms: int) -> int:
        """The log's time of another stream's stamp."""
        return self.clock.log_ms(stored_ms, None, self._monotonic())

    def stored_ms(self, record: Recorded) -> int:
        """When a record was stored, in the log's time."""
        return self.clock.log_ms(record.stored_ms, record.seq, self._monotonic())
