"""The stream SESSIONS."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from billing.adapters.nats_errors import translated
from billing.domain.usage import METERED, Recorded
from billing.ports import Extent
from chassis.nats import Bus, SequenceConflict, Stored
from contracts.events import Event, SessionBilled, SessionEnded
from contracts.streams import BILLINGS_POSITION, SESSIONS
from contracts.subjects import DEAD_PREFIX, session_event

FOLLOWED: Final = tuple(session_event(cls.event, "*") for cls in (SessionEnded, *METERED))
"""The end, and the events that change a bill when they arrive after it."""


class NatsSessionLog:
    """`ports.SessionLog` on the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def history(self, session_id: str) -> list[Recorded]:
        with translated():
            found = await self._bus.history(session_id)
        return [_logged(stored.event, stored) for stored in found if isinstance(stored.event, Event)]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        with translated():
            found = await self._bus.last(session_event(event, session_id))
        return None if found is None else found.seq

    async def announce(self, billed: SessionBilled) -> bool:
        try:
            with translated():
                # The expected sequence refuses a second `billed` after the stream's two minutes of deduplication, too.
                return not (await self._bus.publish(billed, expect_last=0)).duplicate
        except SequenceConflict:
            return False

    async def extent(self) -> Extent:
        with translated():
            found = await self._bus.use_of(SESSIONS)
        return Extent(int(found.created.timestamp() * 1000), found.first_seq, found.last_seq)

    async def newest(self) -> int:
        with translated():
            found = await asyncio.gather(*(self._bus.last(subject) for subject in FOLLOWED))
        return max((stored.seq for stored in found if stored is not None), default=0)

    async def follow(self, behind: int) -> AsyncIterator[Recorded]:
        async for stored in self._bus.replay(FOLLOWED, since=behind + 1):
            if isinstance(stored.event, Event):
                yield _logged(stored.event, stored)

    async def show_position(self, seq: int, *, may_go_back: bool) -> None:
        """Show the position as the start of a durable consumer that nothing reads.

        Older versions read by a consumer of this name; while one still does, it keeps its own position. NATS cannot
        move a consumer, so it is deleted and created again, but only when the position differs.
        """
        with translated():
            await self._bus.show_position(SESSIONS, BILLINGS_POSITION, FOLLOWED, seq, may_go_back=may_go_back)

    async def shown_position(self) -> int:
        with translated():
            position = await self._bus.position_of(SESSIONS, BILLINGS_POSITION)
        return 0 if position is None else position.seq

    async def bury(self, cause: Recorded, reason: str) -> None:
        headers = {
            "Nats-Msg-Id": f"{SESSIONS.name}/billing/{cause.seq}/{cause.stored_ms}",
            "dead-reason": reason.encode("ascii", "replace").decode(),
            "dead-consumer": "billing",
            "dead-stream": SESSIONS.name,
            "dead-seq": str(cause.seq),
        }
        with translated():
            await self._bus.publish_raw(
                f"{DEAD_PREFIX}.{cause.event.subject}", cause.event.model_dump_json().encode(), headers=headers
            )


def _logged(event: Event, stored: Stored) -> Recorded:
    trace = {name: value for name, value in stored.headers.items() if name in ("traceparent", "tracestate")}
    return Recorded(event=event, stored_ms=stored.stored_ms, seq=stored.seq, trace=trace)
