"""The sessions' log on the bus."""

from collections.abc import AsyncIterator
from typing import Final

from chassis.nats import Bus, BusUnavailable, SequenceConflict, Stored
from contracts.events import Event, SessionBilled, SessionEnded
from contracts.subjects import session_event

from billing.domain.usage import LoggedEvent
from billing.ports import LogUnavailable

_ENDS_AND_BILLS: Final = (session_event(SessionEnded.event, "*"), session_event(SessionBilled.event, "*"))


class BusLog:
    """`ports.Log` on the stream SESSIONS."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def history(self, session_id: str) -> list[LoggedEvent]:
        """See the port."""
        try:
            found = await self._bus.history(session_id)
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return [_logged(stored.event, stored) for stored in found if isinstance(stored.event, Event)]

    async def last_seq(self, event: str, session_id: str) -> int | None:
        """See the port."""
        try:
            found = await self._bus.last(session_event(event, session_id))
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error
        return None if found is None else found.seq

    async def announce(self, billed: SessionBilled) -> bool:
        """See the port."""
        try:
            # The expectation holds where the stream's memory of ids, two minutes, has forgotten the first one.
            return not (await self._bus.publish(billed, expect_last=0)).duplicate
        except SequenceConflict:
            return False
        except BusUnavailable as error:
            raise LogUnavailable(str(error)) from error

    async def ends_and_bills(self, behind: int) -> AsyncIterator[LoggedEvent]:
        """See the port."""
        async for stored in self._bus.replay(_ENDS_AND_BILLS, since=behind + 1, until_caught_up=True):
            if isinstance(stored.event, Event):
                yield _logged(stored.event, stored)


def _logged(event: Event, stored: Stored) -> LoggedEvent:
    return LoggedEvent(event=event, stored_ms=stored.stored_ms, seq=stored.seq)
