"""The log on NATS."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from math import inf
from time import monotonic
from typing import TypeVar

from chassis import telemetry
from chassis.nats import Bus, BusUnavailable, SequenceConflict, Stored
from chassis.tasks import cancel
from chassis.words import seal
from contracts.deadlines import RESTORE_WAIT_S
from contracts.events import Event, SessionRequested
from contracts.room_events import RoomEvent
from contracts.streams import SESSIONS
from contracts.subjects import session_event, session_log
from gateway.adapters.nats_errors import nats_unavailable, translated
from gateway.adapters.nats_log_tail import ANY, LogTail, Watcher
from gateway.adapters.nats_start_queue import NatsStartQueue
from gateway.adapters.nats_words import NatsWords
from gateway.domain.logged import FellBehind, LoggedEvent, TailReader
from gateway.domain.restoring import may_lack_sessions
from gateway.ports import RecordUnreadable, SessionIdTaken

_IDLE_S = 1.0
_LOOK_AGAIN_S = 0.5
_RECONNECT_POLL_S = 0.05
_WEBHOOK_DEADLINE_S = 0.8  # LiveKit sends its webhooks one after another, and waits for the reply to each

E = TypeVar("E", bound=Event)


class NatsSessionLog:
    """`ports.SessionLog` and `ports.LogReader`."""

    def __init__(self, bus: Bus, words: NatsWords, queue: NatsStartQueue, *, deadline_s: float) -> None:
        self._bus = bus
        self._words = words
        self._queue = queue
        self._tail = LogTail(bus)
        self._deadline_s = deadline_s
        self._back_at = -inf  # when NATS came back with another log, or with one that is not known yet
        self._known_ms = 0  # creation time of the last known log
        self._made_ms = 0  # creation time of the present log; 0: unknown
        bus.on_reconnect(self._reconnected)

    @property
    def may_lack_sessions(self) -> bool:
        return may_lack_sessions(monotonic() - self._back_at, self._made_ms, self._queue.state)

    async def _reconnected(self) -> None:
        before, back_at = self._back_at, monotonic()
        self._back_at, self._made_ms = back_at, 0
        while self._back_at == back_at and monotonic() - back_at < RESTORE_WAIT_S:
            made_ms = await self._made()
            if made_ms and self._back_at == back_at:
                if made_ms == self._known_ms:
                    self._back_at = before
                self._known_ms = self._made_ms = made_ms
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

    async def _made(self) -> int:
        """The log's creation time, Unix ms; 0: NATS does not answer, or the log is lost and about to be recreated."""
        try:
            created = (await self._bus.use_of(SESSIONS, deadline_s=self._deadline_s)).created
        except BusUnavailable:
            return 0
        return round(created.timestamp() * 1000)

    async def run(self) -> None:
        """Read the log's tail, the source of every `follow`, until cancelled."""
        self._known_ms = self._made_ms = await self._made()
        await self._tail.run()

    async def connected(self) -> None:
        until = monotonic() + self._deadline_s
        while not self._bus.is_connected:
            if self._bus.closed.is_set() or monotonic() >= until:
                raise nats_unavailable(f"not connected to {self._bus.url}")
            await asyncio.sleep(_RECONNECT_POLL_S)

    async def open(self, event: Event, secret: str = "") -> int:
        with translated():
            try:
                done = await self._bus.publish(seal(event, secret), expect_last=0, deadline_s=self._deadline_s)
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
        with translated():
            return await self._words.open(found.event)

    async def latest(self, session_id: str) -> Event | None:
        with translated():
            found = await self._bus.last(session_log(session_id), deadline_s=self._deadline_s)
        return found.event if found is not None and isinstance(found.event, Event) else None

    async def history(self, session_id: str) -> list[Event]:
        return [record.event for record in await self.records(session_id) if record.event is not None]

    async def records(self, session_id: str) -> list[LoggedEvent]:
        with translated():
            found = await self._bus.history(session_id, deadline_s=self._deadline_s)
            return await self._opened(found)

    async def max_age(self) -> timedelta:
        with translated():
            use = await self._bus.use_of(SESSIONS, deadline_s=self._deadline_s)
        return timedelta(seconds=use.max_age_s)

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

    @asynccontextmanager
    async def watch(self, session_id: str | None = None) -> AsyncGenerator[TailReader]:
        with translated():
            async with self._tail.watch(ANY if session_id is None else session_id) as watcher:
                yield _Watch(watcher, lambda found: self._opened(found, SessionRequested))

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
                with translated():
                    records = await self._opened(batch, SessionRequested)
                yield records
        finally:
            if upcoming is not None:
                await cancel(upcoming)
            await batches.aclose()

    async def _opened(self, found: Sequence[Stored], *kinds: type[Event]) -> list[LoggedEvent]:
        """The records, with the words of the events of these kinds, or of all kinds if none is given."""
        records = [_logged(stored) for stored in found]
        sealed = [r.event for r in records if r.event is not None and (not kinds or isinstance(r.event, kinds))]
        opened = {event.id: event for event in await self._words.open_all(sealed)}
        return [replace(r, event=opened.get(r.event.id, r.event)) if r.event is not None else r for r in records]


class _Watch:
    def __init__(self, watcher: Watcher, opened: Callable[[Sequence[Stored]], Awaitable[list[LoggedEvent]]]) -> None:
        self._watcher = watcher
        self._opened = opened
        self._found: list[Stored] = []

    async def next(self) -> list[LoggedEvent]:
        if not self._found:
            self._found = await self._watcher.next()
        try:
            records = await self._opened(self._found)
        except BusUnavailable as error:  # without its words a request would look like an erased one
            raise FellBehind from error
        self._found = []
        return records


def _logged(stored: Stored) -> LoggedEvent:
    event = stored.event if isinstance(stored.event, Event) else None
    trace_id = telemetry.trace_id(stored.headers) if isinstance(event, SessionRequested) else ""
    return LoggedEvent(stored.seq, event, stored.stored_ms, trace_id)


async def _next(batches: AsyncIterator[list[Stored]]) -> list[Stored]:
    return await anext(batches)
