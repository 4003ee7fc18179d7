"""Looks at the queue when a slot and a node may be free."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from scheduler.domain.board import Board
from scheduler.domain.slot_book import Reservation

_LOOK_S: Final = 0.02  # node reports within this time lead to one look at the queue


class Admitter:
    """Admits sessions in fair order, and wakes them."""

    def __init__(self, board: Board, now_ms: Callable[[], int], wake: Callable[[str], None]) -> None:
        self._board = board
        self._now_ms = now_ms
        self._wake = wake
        self._due: asyncio.TimerHandle | None = None

    def stop(self) -> None:
        """Cancel the next look."""
        if self._due is not None:
            self._due.cancel()

    def admit_or_queue(self, session_id: str) -> Reservation | None:
        """Queue a session and admit every session whose turn it is; returns its reservation, None while it waits.

        Raises:
            QueueFull: The session may not queue.
        """
        now_ms = self._now_ms()
        reservation, others = self._board.admission.admit_or_queue(session_id, now_ms)
        self._admitted(others, now_ms)
        return reservation

    def capacity_changed(self) -> None:
        """Look at the queue in a moment, once for many changes."""
        if self._board.admission.may_admit(self._now_ms()):
            self._look_in(_LOOK_S)

    def _look_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if self._due is not None:
            if self._due.when() <= loop.time() + seconds:
                return
            self._due.cancel()
        self._due = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._due = None
        now_ms = self._now_ms()
        self._admitted(self._board.admission.admit(now_ms), now_ms)

    def _admitted(self, session_ids: Iterable[str], now_ms: int) -> None:
        for session_id in session_ids:
            self._wake(session_id)
        trial_ms = self._board.fleet.next_trial_ms() if len(self._board.admission) else None
        if trial_ms is not None:
            self._look_in(max(_LOOK_S, (trial_ms - now_ms) / 1000))
