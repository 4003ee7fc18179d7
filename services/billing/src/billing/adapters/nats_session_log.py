"""The stream SESSIONS."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from billing.domain.usage import METERED, Recorded
from billing.ports import Extent, LogUnavailable
from chassis.nats import Bus, BusUnavailable, PublishRefused, SequenceConflict, Stored, position_of, show_position
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
        try:
            found = await self._bus.history(session_id)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return [_logged(stored.event, stored) for stored in found if isinstance(stored.event, Event)]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        try:
            found = await self._bus.last(session_event(event, session_id))
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return None if found is None else found.seq

    async def announce(self, billed: SessionBilled) -> bool:
        try:
            # The expected sequence refuses a second `billed` after the stream's two minutes of deduplication, too.
            return not (await self._bus.publish(billed, expect_last=0)).duplicate
        except SequenceConflict:
            return False
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error

    async def extent(self) -> Extent:
        try:
            found = await self._bus.use_of(SESSIONS)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return Extent(int(found.created.timestamp() * 1000), found.first_seq, found.last_seq)

    async def newest(self) -> int:
        try:
            found = await asyncio.gather(*(self._bus.last(subject) for subject in FOLLOWED))
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
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
        connection = self._bus.connection
        try:
            await show_position(connection, SESSIONS.name, BILLINGS_POSITION, FOLLOWED, seq, may_go_back=may_go_back)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error

    async def shown_position(self) -> int:
        try:
            position = await position_of(self._bus.connection, SESSIONS.name, BILLINGS_POSITION)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return 0 if position is None else position.seq

    async def bury(self, cause: Recorded, reason: str) -> None:
        headers = {
            "Nats-Msg-Id": f"{SESSIONS.name}/billing/{cause.seq}/{cause.stored_ms}",
            "dead-reason": reason.encode("ascii", "replace").decode(),
            "dead-consumer": "billing",
            "dead-stream": SESSIONS.name,
            "dead-seq": str(cause.seq),
        }
        subject = f"{DEAD_PREFIX}.{cause.event.subject}"
        try:
            await self._bus.publish_raw(subject, cause.event.model_dump_json().encode(), headers=headers)
        except (BusUnavailable, PublishRefused) as error:
            raise LogUnavailable(str(error)) from error


def _logged(event: Event, stored: Stored) -> Recorded:
    trace = {name: value for name, value in stored.headers.items() if name in ("traceparent", "tracestate")}
    return Recorded(event=event, stored_ms=stored.stored_ms, seq=stored.seq, trace=trace)
