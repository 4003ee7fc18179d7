"""Two positions in the log: the ledger's, where a restart begins, and the one that the scheduler sees."""

from collections.abc import Callable
from typing import Final

from billing.ports import Extent, Ledger, Position, SessionLog
from chassis import logs

_KEEP_S: Final = 2.0
_SHOW_AFTER: Final = 1_000  # sequences: the scheduler alerts at as many; the periodic look shows smaller steps

log = logs.get_logger(__name__)


class Positions:
    """Moves both positions, the ledger's at most every 2 s.

    A version before the ledger's position kept its place on the bus only. A ledger of that version has bills and no
    position: billing reads the whole log again, and until it passes that old place it shows the old place.

    Attributes:
        settled_before: The old place; 0 when the ledger has a position, or no bills.
    """

    def __init__(self, sessions: SessionLog, ledger: Ledger, clock: Callable[[], float]) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._clock = clock
        self._kept: Position | None = None
        self._kept_at = 0.0
        self._shown: int | None = None
        self.settled_before = 0

    async def begin(self, extent: Extent) -> int:
        """Return the sequence after which reading begins: the ledger's, or the log's start for a new log or ledger."""
        position = await self._ledger.position()
        self._kept, self._shown, self.settled_before = position, None, 0
        if position is None:
            if not await self._ledger.is_empty():
                self.settled_before = min(await self._sessions.shown_position(), extent.last_seq)
        elif position.log_ms == extent.log_ms and position.seq <= extent.last_seq:
            return position.seq
        else:
            log.error("log.is_another", position=position.seq, first_seq=extent.first_seq, last_seq=extent.last_seq)
        return extent.first_seq - 1

    async def keep(self, position: Position, to_show: int) -> None:
        """Write the position after its bills and announcements; a crash in between settles those again, identically."""
        if self._clock() - self._kept_at < _KEEP_S:
            return
        self._kept_at = self._clock()
        if position != self._kept and position.seq >= self.settled_before:
            await self._ledger.advance(position)
            self._kept = position
        if self._shown is not None and to_show - self._shown >= _SHOW_AFTER:
            await self.show(to_show)

    async def show(self, seq: int) -> None:
        if seq >= self.settled_before:
            await self._sessions.show_position(seq, may_go_back=self._shown is None)
            self._shown = seq

    async def show_again(self, seq: int) -> None:
        """Show the position if this run has shown one: a stop may have come between deleting and creating the mark."""
        if self._shown is not None:
            await self.show(seq)
