"""The log on NATS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from time import monotonic
from typing import TypeVar

from chassis.nats import Bus, SequenceConflict, Stored
from chassis.tasks import cancel
from contracts.events import Event, RoomEvent
from contracts.subjects import session_event, session_log
from gateway.adapters.nats_errors import nats_unavailable, translated
from gateway.adapters.nats_log_tail import LogTail
from gateway.ports import LoggedEvent, RecordUnreadable, SessionIdTaken

_IDLE_S = 1.0
_RECONNECT_POLL_S = 0.05
_WEBHOOK_DEADLINE_S = 0.8  # LiveKit sends its webhooks one after another, and waits for the reply to each

E = TypeVar("E", bound=Event)


class NatsSessionLog:
    """`ports.SessionLog` and `ports.LogReader`."""

    def __init__(self, bus: Bus, *, deadline_s: float) -> None:
        self._bus = bus
        self._tail = LogTail(bus)
        self._deadline_s = deadline_s

    async def run(self) -> None:
        """Read the log's tail, the source of every `follow`, until cancelled."""
        await self._tail.run()

    async def connected(self) -> None:
        until = monotonic() + self._deadline_s
        while not self._bus.is_connected:
            if self._bus.closed.is_set() or monotonic() >= until:
                raise nats_unavailable(f"not connected to {self._bus.url}")
            await asyncio.sleep(_RECONNECT_POLL_S)

    async def open(self, event: Event) -> int:
        with translated():
            try:
                done = await self._bus.publish(event, expect_last=0, deadline_s=self._deadline_s)
            except SequenceConflict as conflict:
                raise SessionIdTaken from conflict
        # Event ids are derived from session and event name, so another gateway's `requested` has the same id and counts
        # as a duplicate: compare the bodies.
        if done.duplicate and await self.last(type(event), event.session_id) != event:
            raise SessionIdTaken
        return done.seq

    async def publish(self, event: Event) -> None:
        with translated():
            await self._bus.publish(event, deadline_s=self._deadline_s)

    async def publish_room_event(self, event: RoomEvent) -> None:
        with translated():
            await self._bus.publish(event, deadline_s=min(self._deadline_s, _WEBHOOK_DEADLINE_S))

    async def last(self, event: type[E], session_id: str) -> E | None:
        with translated():
            found = await self._bus.last(session_event(event.event, session_id), deadline_s=self._deadline_s)
        if found is None:
            return None
        if not isinstance(found.event, event):
            raise RecordUnreadable(session_id, event.event)
        return found.event

    async def latest(self, session_id: str) -> Event | None:
        with translated():
            found = await self._bus.last(session_log(session_id), deadline_s=self._deadline_s)
        return found.event if found is not None and isinstance(found.event, Event) else None

    async def history(self, session_id: str) -> list[Event]:
        with translated():
            found = await self._bus.history(session_id, deadline_s=self._deadline_s)
        return [stored.event for stored in found if isinstance(stored.event, Event)]

    async def since(self, at: datetime, *events: type[Event]) -> list[Event]:
        replay = self._bus.replay([session_event(e.event, "*") for e in events], since=at, until_caught_up=True)
        with translated():
            async with asyncio.timeout(self._deadline_s):
                return [stored.event async for stored in replay if isinstance(stored.event, Event)]

    @asynccontextmanager
    async def follow(
        self, session_id: str, *events: type[Event], since: int | None = None, past: bool = True
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        with translated():
            async with self._tail.follow(session_id, *events, since=since, past=past) as found:
                yield found

    async def read(self, since: int | None, *events: type[Event]) -> AsyncIterator[Sequence[LoggedEvent]]:
        batches = self._bus.replay([session_event(e.event, "*") for e in events], since=since).batches()
        upcoming: asyncio.Task[list[Stored]] | None = None
        try:
            while True:
                upcoming = upcoming or asyncio.create_task(_next(batches))
                await asyncio.wait({upcoming}, timeout=_IDLE_S)
                batch: list[Stored] = []
                if upcoming.done():
                    with translated():
                        batch = upcoming.result()
                    upcoming = None
                yield [LoggedEvent(each.seq, each.event if isinstance(each.event, Event) else None) for each in batch]
        finally:
            if upcoming is not None:
                await cancel(upcoming)
            await batches.aclose()


async def _next(batches: AsyncIterator[list[Stored]]) -> list[Stored]:
    return await anext(batches)
