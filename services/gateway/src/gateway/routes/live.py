"""The sessions of `GET /v1/events`: one reader and one JSON text per change, however many streams are open."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from fastapi.sse import format_sse_event

from chassis.errors import text_of
from chassis.logs import get_logger
from chassis.tasks import Tasks
from contracts.events import SessionRequested
from gateway.domain.logged import FellBehind, LoggedEvent
from gateway.domain.read_model import SessionState, fold, fold_records
from gateway.domain.summaries import summary
from gateway.domain.words import without_prompt
from gateway.ports import ReadModel, SessionLog, Unavailable

_PACE_S: Final = 0.5
_QUEUED: Final = 20  # parts that a stream has not sent yet: 10 s
_UNBILLED: Final = timedelta(seconds=60)  # how long an ended session is followed for its bill

log = get_logger(__name__)


class Stream:
    """One client's view of the live sessions."""

    def __init__(self, begin: bytes, *, is_admin: bool) -> None:
        self.is_admin = is_admin
        self._parts = [begin]
        self._news = asyncio.Event()
        self._news.set()
        self._is_behind = False

    def tell(self, part: bytes) -> None:
        if len(self._parts) >= _QUEUED:
            self.lose()
            return
        self._parts.append(part)
        self._news.set()

    def lose(self) -> None:
        self._is_behind = True
        self._parts.clear()
        self._news.set()

    async def next(self) -> bytes:
        """The changes since the last call, at most twice a second; raises `FellBehind`."""
        await self._news.wait()
        self._news.clear()
        if self._is_behind:
            raise FellBehind
        parts, self._parts = self._parts, []
        return b"".join(parts)


class LiveSessions:
    """The open sessions, followed while at least one stream is open.

    Args:
        budget_ms: The latency budget of a turn.
    """

    def __init__(
        self, session_log: SessionLog, read_model: ReadModel, now: Callable[[], datetime], budget_ms: int
    ) -> None:
        self._begin = partial(_Following, session_log, read_model, now, budget_ms)
        self._tasks = Tasks()
        self._following: _Following | None = None

    @asynccontextmanager
    async def follow(self, *, is_admin: bool) -> AsyncGenerator[Stream]:
        """A stream that begins with the open sessions.

        Raises:
            ReadModelUnavailable: The open sessions cannot be read.
            NatsUnavailable: The log cannot be followed.
        """
        following = self._following
        if following is None or following.task.done():
            following = self._following = self._begin(self._tasks)
        following.users += 1
        try:
            await following.begun()
            with following.stream(is_admin=is_admin) as stream:
                yield stream
        finally:
            following.users -= 1
            if following.users == 0:
                following.task.cancel()
                if self._following is following:
                    self._following = None


class _Following:
    """One run of the reader, with its streams. The next run shares nothing with it, and may begin before it ends.

    Attributes:
        users: Requests that have a stream of it, or wait for one.
    """

    def __init__(
        self,
        session_log: SessionLog,
        read_model: ReadModel,
        now: Callable[[], datetime],
        budget_ms: int,
        tasks: Tasks,
    ) -> None:
        self._log = session_log
        self._read_model = read_model
        self._now = now
        self._budget_ms = budget_ms
        self._states: dict[str, SessionState] = {}
        self._streams: set[Stream] = set()
        self.users = 0
        self._begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.task = tasks.spawn(self._run(), name="live sessions")

    async def begun(self) -> None:
        """Wait until the open sessions are read; raises what prevented it."""
        await asyncio.shield(self._begun)

    @contextmanager
    def stream(self, *, is_admin: bool) -> Generator[Stream]:
        """A stream that begins with the open sessions; it is lost when the reader ends."""
        stream = Stream(self._part(self._states.values(), is_admin=is_admin), is_admin=is_admin)
        self._streams.add(stream)
        if self.task.done():
            stream.lose()
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    async def _run(self) -> None:
        try:
            async with self._log.watch() as watch:
                self._states = {state.session_id: _small(state) for state in await self._read_model.open_sessions()}
                for record in await watch.next():
                    self._fold_past(record)
                self._begun.set_result(None)
                while True:
                    changed: dict[str, None] = {}
                    for record in await watch.next():
                        if record.event is not None and await self._fold(record):
                            changed[record.event.session_id] = None
                    self._tell(self._states[session_id] for session_id in changed)
                    self._remove_settled()
                    await asyncio.sleep(_PACE_S)
        except Exception as error:
            if not self._begun.done():
                self._begun.set_exception(error)
                self._begun.exception()  # its requests may have left
            if not isinstance(error, FellBehind | Unavailable):
                raise
            log.warning("live.ended", reason=text_of(error), streams=len(self._streams))
        finally:
            for stream in self._streams:
                stream.lose()

    def _fold_past(self, record: LoggedEvent) -> None:
        """Fold an event that the read model may lack; an unknown session is followed from its request on."""
        event = record.event
        if event is None:
            return
        known = self._states.get(event.session_id)
        if known is not None or isinstance(event, SessionRequested):
            self._states[event.session_id] = _small(fold(known, event, record.trace_id))
        if (state := self._states.get(event.session_id)) is not None and state.ended is not None:
            del self._states[event.session_id]

    async def _fold(self, record: LoggedEvent) -> bool:
        """Whether the session's state changed."""
        event = record.event
        assert event is not None
        known = self._states.get(event.session_id)
        if known is None and not isinstance(event, SessionRequested):
            # The session ended before; this is its bill, or a late report of its node.
            known = fold_records(await self._log.records(event.session_id))
            if known is None or known.requested is None:
                return False
            self._states[event.session_id] = _small(known)
            return True
        state = _small(fold(known, event, record.trace_id))
        self._states[event.session_id] = state
        return state != known and state.requested is not None

    def _tell(self, changed: Iterable[SessionState]) -> None:
        states = [*changed]
        if not states:
            return
        for is_admin in {stream.is_admin for stream in self._streams}:
            part = self._part(states, is_admin=is_admin)
            for stream in self._streams:
                if stream.is_admin == is_admin:
                    stream.tell(part)

    def _part(self, states: Iterable[SessionState], *, is_admin: bool) -> bytes:
        now = self._now()
        shown = (summary(state, now, self._budget_ms, is_admin=is_admin) for state in states)
        return b"".join(
            format_sse_event(event="session", data_str=each.model_dump_json(by_alias=True))
            for each in shown
            if each is not None
        )

    def _remove_settled(self) -> None:
        before = self._now() - _UNBILLED
        for session_id in [
            state.session_id
            for state in self._states.values()
            if state.billed is not None or (state.ended is not None and state.ended.time < before)
        ]:
            del self._states[session_id]


def _small(state: SessionState) -> SessionState:
    if state.requested is None or not state.requested.system_prompt:
        return state
    return state.model_copy(update={"requested": without_prompt(state.requested)})
