"""What a new leader reads: sessions that may be open, without their ticks and turns."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from chassis import logs
from scheduler.domain.board import Board
from scheduler.domain.session import Recorded
from scheduler.ports import SessionLog, Slots, Unavailable

_RETRY_S: Final = 0.25
_AT_ONCE: Final = 250  # sessions: some 1,000 events in about 30 ms

T = TypeVar("T")

log = logs.get_logger(__name__)


async def read_back(board: Board, session_log: SessionLog, slots: Slots, *, recent_ms: int) -> None:
    """Take in the running and the queued sessions.

    Queued sessions are newer than `recent_ms`; older open sessions hold a slot. The caller follows the log already,
    from a position before this read.

    Args:
        recent_ms: Sessions requested at or after this time are read, Unix ms.
    """
    mark = board.slots.mark()
    held = await insist(slots.held)
    recent = await insist(lambda: session_log.requested_since(recent_ms))
    owners = {entry.session_id for entry in held.values() if entry.slot is not None}
    await take_in(board, session_log, sorted(owners | recent))
    board.slots.read({key: entry.session_id for key, entry in held.items()}, mark)
    for session_id in board.roster.ids():
        session = board.roster.session(session_id)
        facts = board.facts(session_id, board.roster.since_ms)
        if session is not None and session.has_ended and facts.slot is None:
            board.remove(session_id)  # the reconciler deletes its room


async def read_forgotten(
    board: Board, session_log: SessionLog, wake: Callable[[str], None], every: int = _AT_ONCE
) -> None:
    """Take in sessions that were queued when every scheduler was down for longer than `read_back` covers."""
    unknown = sorted(sid for sid in await insist(session_log.unfinished) if sid not in board.roster)
    for at in range(0, len(unknown), every):
        some = unknown[at : at + every]
        await take_in(board, session_log, some)
        for session_id in some:
            wake(session_id)
        await asyncio.sleep(0)


async def take_in(board: Board, session_log: SessionLog, session_ids: Sequence[str]) -> None:
    """Follow these sessions, then read their logs.

    In this order an event that arrives during the read is kept, instead of being dropped as of an unknown session.
    """
    new = [session_id for session_id in session_ids if session_id not in board.roster]
    for at in range(0, len(new), _AT_ONCE):
        some = new[at : at + _AT_ONCE]
        for session_id in some:
            board.roster.add(session_id)

        async def lifecycles(some: Sequence[str] = some) -> Iterable[Recorded]:
            return await session_log.lifecycles(some)

        for record in await insist(lifecycles):
            board.record(record)
        for session_id in some:
            session = board.roster.session(session_id)
            if session is not None and session.requested is None and not session.unreadable:
                board.remove(session_id)  # its log has no start


async def insist(read: Callable[[], Awaitable[T]]) -> T:
    """Retry the read until it succeeds; losing the lease cancels it."""
    while True:
        try:
            return await read()
        except Unavailable as error:
            log.warning("term.waits", reason=str(error))
            await asyncio.sleep(_RETRY_S)
