"""Measures how full each stream and bucket is, and whether the log has room for another call."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from chassis import logs, metrics
from contracts.streams import SESSIONS
from scheduler.domain.board import Board
from scheduler.domain.log_room import StoreUse, log_room
from scheduler.ports import Stores, Unavailable

_STREAM: Final = ("stream",)
_BYTES: Final = metrics.gauge("scheduler_stream_bytes", "Bytes that a stream or bucket holds", _STREAM)
_USED: Final = metrics.gauge("scheduler_stream_used_ratio", "Share of its bound that a stream holds", _STREAM)
_MESSAGES: Final = metrics.gauge("scheduler_stream_messages", "Messages in a stream or bucket", _STREAM)
_AGE_S: Final = metrics.gauge("scheduler_stream_oldest_seconds", "Age of a stream's oldest message", _STREAM)
_CONSUMERS: Final = metrics.gauge("scheduler_stream_consumers", "Consumers of a stream, of 1000", _STREAM)
_NEEDED: Final = metrics.gauge(
    "scheduler_log_needed_ratio",
    "Unsettled bytes of SESSIONS and those of running calls, as a share of the limit for starts",
)
_BEHIND: Final = metrics.gauge("scheduler_billing_behind_messages", "Messages of SESSIONS that billing has to read")
_GONE: Final = metrics.gauge(
    "scheduler_billing_gone_messages", "Messages that SESSIONS deleted before billing read them"
)

log = logs.get_logger(__name__)


def clear_figures() -> None:
    """Clear the gauges at the end of a term, so that its last fault does not stay in the alerts."""
    for gauge in (_BYTES, _USED, _MESSAGES, _AGE_S, _CONSUMERS):
        gauge.clear()
    for gauge in (_NEEDED, _BEHIND, _GONE):
        gauge.set(0)


class StreamsWatch:
    """Measures every stream and bucket at an interval; the next look retries a failed one.

    Attributes:
        log_is_full: Starts are refused: their messages could push out unsettled ones.

    Args:
        calls_bytes: Most bytes that all concurrent calls write.
        now: Unix seconds.
    """

    def __init__(
        self,
        stores: Stores,
        board: Board,
        every_s: float,
        calls_bytes: int,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.log_is_full = False
        self._stores = stores
        self._board = board
        self._every_s = every_s
        self._calls_bytes = calls_bytes
        self._now = now
        self._was_behind = False
        self._is_gone = False

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except Unavailable as error:
                log.warning("streams.not_measured", reason=str(error))
            except Exception:
                log.exception("streams.watch_bug")
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        for use in await self._stores.uses():
            _BYTES.labels(use.name).set(use.bytes)
            _USED.labels(use.name).set(use.bytes / use.max_bytes if use.max_bytes else 0)
            _MESSAGES.labels(use.name).set(use.messages)
            _AGE_S.labels(use.name).set(max(0.0, self._now() - use.oldest_s) if use.oldest_s else 0)
            _CONSUMERS.labels(use.name).set(use.consumers)
            if use.name == SESSIONS.name:
                await self._look_at_log(use)

    async def _look_at_log(self, use: StoreUse) -> None:
        billing = await self._stores.billing()
        oldest = min((s.requested_seq for s in self._board.roster.open_sessions() if s.requested_seq), default=None)
        room = log_room(use, billing, oldest, calls_bytes=self._calls_bytes, was_behind=self._was_behind)
        self._was_behind = room.behind > 0
        _NEEDED.set(room.needed_bytes / room.limit_bytes if room.limit_bytes else 0)
        _BEHIND.set(room.behind)
        _GONE.set(room.gone_unread)
        if room.gone_unread and not self._is_gone:
            log.error("log.deleted_unread", messages=room.gone_unread, fix="See docs/runbooks/lost-log.md.")
        self._is_gone = room.gone_unread > 0
        if room.is_full != self.log_is_full:
            change = "log.full" if room.is_full else "log.has_room"
            log.error(
                change,
                needed_bytes=room.needed_bytes,
                limit_bytes=room.limit_bytes,
                billing_behind=room.behind,
                fix="Starts are refused. See why billing is behind, or raise SESSIONS_MAX_MB."
                if room.is_full
                else "Starts are accepted again.",
            )
        self.log_is_full = room.is_full
