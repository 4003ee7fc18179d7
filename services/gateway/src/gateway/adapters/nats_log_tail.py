"""The tail of the log, read once per process for all requests that wait for their session's events.

A reader per request would need a NATS consumer each, and a stream has a limited number of them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from chassis import metrics
from chassis.logs import get_logger
from chassis.nats import Bus, BusUnavailable, Stored
from contracts.events import EVENTS, Event, ServedTick
from contracts.streams import SESSIONS
from contracts.subjects import session_event
from gateway.domain.logged import FellBehind

_TOLD: Final = tuple(event for event in EVENTS if event is not ServedTick)
_KEPT: Final = 2048  # messages, for requests that begin to follow shortly after the event they wait for
_QUEUED: Final = 256  # messages of one session that its follower has not read yet
_QUEUED_OF_ALL: Final = 10_000
_BEGIN_S: Final = 2.0
ANY: Final = "*"
"""In place of a session's id: every session."""
_RETRY_S: Final = 0.25

_FOLLOWERS = metrics.gauge("gateway_log_followers", "Requests that follow a session's events from the log's tail")

log = get_logger(__name__)


class _Follower:
    """One request that follows a session.

    Attributes:
        through: Sequence of the last event that it received.
        has_missed: Its queue overflowed, so it must read the session's history.
    """

    def __init__(self) -> None:
        self.through = 0
        self.has_missed = False
        self.queue: deque[Stored] = deque()
        self.news = asyncio.Event()

    def stop(self) -> None:
        """The tail has stopped."""
        self.news.set()

    def tell(self, stored: Stored) -> None:
        if len(self.queue) == _QUEUED:
            self.has_missed = True
            self.queue.clear()
        self.queue.append(stored)
        self.news.set()

    def tell_again(self) -> None:
        """Start over after the stream was created again, with sequences from 1."""
        self.through = 0
        self.has_missed = True
        self.queue.clear()
        self.news.set()


class Watcher:
    """One reader that gets each message once, in order, or `FellBehind`.

    Args:
        most: Messages that may wait for it.
        past: Messages that it gets first.
    """

    def __init__(self, most: int, past: Iterable[Stored] = ()) -> None:
        self.news = asyncio.Event()
        self.news.set()
        self._most = most
        self._queue: list[Stored] = [*past]
        self._has_missed = False

    def tell(self, stored: Stored) -> None:
        if len(self._queue) >= self._most:
            self.tell_again()
            return
        self._queue.append(stored)
        self.news.set()

    def tell_again(self) -> None:
        """The queue overflowed, the stream was created again, or the tail has stopped."""
        self._has_missed = True
        self._queue.clear()
        self.news.set()

    stop = tell_again

    async def next(self) -> list[Stored]:
        """What came since the last call, perhaps nothing; safe to cancel.

        Raises:
            FellBehind: Some messages are lost to this reader.
        """
        await self.news.wait()
        self.news.clear()
        if self._has_missed:
            raise FellBehind
        found, self._queue = self._queue, []
        return found


class LogTail:
    """Reads SESSIONS from its newest message on; `run` it for as long as requests may follow."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._followers: dict[str, set[_Follower | Watcher]] = {}
        self._kept: deque[Stored] = deque()
        self._kept_of: dict[str, deque[Stored]] = {}
        self._first = 0  # every message from this sequence on is in a follower's queue or in `_kept`
        self._through = 0
        self._began = asyncio.Event()
        self._has_stopped = False

    async def run(self) -> None:
        """Read until cancelled; restarts of NATS do not end it."""
        try:
            self._through = await self._last_seq()
            self._first = self._through + 1
            self._began.set()
            filters = [session_event(event.event, "*") for event in _TOLD]
            async for stored in self._bus.replay(filters, since=self._first):
                self._take(stored)
        finally:
            self._has_stopped = True
            self._began.set()
            for followers in self._followers.values():
                for follower in followers:
                    follower.stop()

    @asynccontextmanager
    async def watch(self, session_id: str = ANY) -> AsyncGenerator[Watcher]:
        """What comes from now on, for one session or all, without the ticks; for all also the kept messages.

        Raises:
            BusUnavailable: The tail stopped, or did not begin within 2 s.
        """
        await self._begun()
        if self._has_stopped:
            raise BusUnavailable("following the log", self._bus.url)
        watcher = Watcher(_QUEUED_OF_ALL, self._kept) if session_id == ANY else Watcher(_QUEUED)
        with self._following(session_id, watcher):
            yield watcher

    @asynccontextmanager
    async def follow(
        self, session_id: str, *events: type[Event], since: int | None, past: bool
    ) -> AsyncGenerator[AsyncIterator[Event]]:
        """As `ports.SessionLog.follow`; raises `BusUnavailable` when the tail stopped or did not begin within 2 s."""
        await self._begun()
        follower = _Follower()
        with self._following(session_id, follower):
            told = self._told(session_id, follower, events, since=since, past=past)
            try:
                yield told
            finally:
                await told.aclose()

    async def _begun(self) -> None:
        try:
            async with asyncio.timeout(_BEGIN_S):
                await self._began.wait()
        except TimeoutError as error:
            raise BusUnavailable("following the log", self._bus.url) from error

    async def _told(
        self, session_id: str, follower: _Follower, events: tuple[type[Event], ...], *, since: int | None, past: bool
    ) -> AsyncGenerator[Event]:
        if past and since is not None and since + 1 >= self._first:
            follower.queue.extendleft(reversed(self._kept_of.get(session_id, ())))
        elif past:
            follower.has_missed = True
        while True:
            if follower.has_missed:
                follower.has_missed = False
                found = await self._history(session_id)
            else:
                found = list(follower.queue)
                follower.queue.clear()
            for stored in found:
                if stored.seq > follower.through:
                    follower.through = stored.seq
                    if isinstance(stored.event, events):
                        yield stored.event
            if self._has_stopped:
                raise BusUnavailable("following the log", self._bus.url)
            if not follower.queue and not follower.has_missed:
                follower.news.clear()
                await follower.news.wait()

    async def _history(self, session_id: str) -> list[Stored]:
        while True:
            try:
                return await self._bus.history(session_id)
            except BusUnavailable:
                if self._bus.closed.is_set():
                    raise
                await asyncio.sleep(_RETRY_S)

    @contextmanager
    def _following(self, session_id: str, follower: _Follower | Watcher) -> Generator[None]:
        self._followers.setdefault(session_id, set()).add(follower)
        _FOLLOWERS.inc()
        try:
            yield
        finally:
            _FOLLOWERS.dec()
            others = self._followers[session_id]
            others.discard(follower)
            if not others:
                del self._followers[session_id]

    def _take(self, stored: Stored) -> None:
        if not isinstance(stored.event, Event):
            return
        if stored.seq <= self._through:
            self._begin_again()
        self._through = stored.seq
        session_id = stored.event.session_id
        self._keep(session_id, stored)
        for follower in (*self._followers.get(session_id, ()), *self._followers.get(ANY, ())):
            follower.tell(stored)

    def _keep(self, session_id: str, stored: Stored) -> None:
        self._kept.append(stored)
        self._kept_of.setdefault(session_id, deque()).append(stored)
        if len(self._kept) > _KEPT:
            oldest = self._kept.popleft()
            assert isinstance(oldest.event, Event)
            self._first = oldest.seq + 1
            own = self._kept_of[oldest.event.session_id]
            own.popleft()
            if not own:
                del self._kept_of[oldest.event.session_id]

    def _begin_again(self) -> None:
        log.warning("log_tail.stream_was_reset", followers=len(self._followers))
        self._first = 1
        self._kept.clear()
        self._kept_of.clear()
        for followers in self._followers.values():
            for follower in followers:
                follower.tell_again()

    async def _last_seq(self) -> int:
        while True:
            try:
                return (await self._bus.use_of(SESSIONS)).last_seq
            except BusUnavailable as error:
                if self._bus.closed.is_set():
                    raise
                log.warning("log_tail.waiting", reason=str(error))
                await asyncio.sleep(_RETRY_S)
