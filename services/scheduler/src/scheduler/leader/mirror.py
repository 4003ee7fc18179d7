"""Reports to the gateways how full the queue is, so that only a start that may be refused waits for the scheduler."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from chassis import logs
from contracts.registry import QueueState
from scheduler.domain.board import Board
from scheduler.ports import LogTail, QueueMirror, Unavailable

_LOOK_S: Final = 0.5
_RENEW_S: Final = 2.0  # below the TTL of the bucket
_POLL_S: Final = 0.01
_CATCH_UP_POLLS: Final = 200
_DRIFT: Final = 4  # a report is renewed once the log grew by this share of the queue

log = logs.get_logger(__name__)


async def mirror_queue(
    board: Board,
    log_tail: Callable[[], Awaitable[LogTail]],
    mirror: QueueMirror,
    *,
    log_is_full: Callable[[], bool],
    restored_ms: Callable[[], int],
) -> None:
    """Report the queue, whether the log has room for another call, and which log is restored, until cancelled."""
    reported: QueueState | None = None
    reported_at, height = 0.0, 0
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            tail = await log_tail()
            if tail.seq < height:  # NATS lost its store, and the log counts from 1 again
                board.roster.requested_seq = 0
            height = tail.seq
            await _catch_up(board, tail.last_request_seq)
            told = {"log_is_full": log_is_full(), "restored_ms": restored_ms()}
            state = _state(board, tail.seq).model_copy(update=told)
            now = time.monotonic()
            if reported is None or now - reported_at >= _RENEW_S or _is_news(state, reported):
                await mirror.report(state)
                reported, reported_at = state, now
        except Unavailable as error:
            log.warning("queue.not_reported", reason=str(error))
        except Exception:
            log.exception("queue.mirror_bug")


async def _catch_up(board: Board, seq: int) -> None:
    """Wait until the board has read the request at `seq`; a request from before this term never comes."""
    for _ in range(_CATCH_UP_POLLS):
        if board.roster.requested_seq >= seq:
            return
        await asyncio.sleep(_POLL_S)
    board.roster.requested_seq = max(board.roster.requested_seq, seq)


def _state(board: Board, seq: int) -> QueueState:
    """The queue as of a log sequence whose requests the board has all read; undecided starts count as waiting."""
    undecided = sum(1 for session in board.roster.open_sessions() if session.current is None)
    return QueueState(waiting=undecided, max_queue=board.limits.max_queue, seq=seq, opens_words=True)


def _is_news(state: QueueState, reported: QueueState) -> bool:
    if state.seq < reported.seq:
        return True
    if (state.log_is_full, state.restored_ms) != (reported.log_is_full, reported.restored_ms):
        return True
    return state.waiting != reported.waiting or (state.seq - reported.seq) * _DRIFT > state.max_queue
