"""Server-sent events: the steps of one session, and the changes of all."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Path, Query
from fastapi.sse import format_sse_event
from starlette.responses import Response

from contracts.errors import (
    BUS_UNAVAILABLE,
    GATEWAY_STOPPING,
    INVALID_SESSION_ID,
    REDIS_UNAVAILABLE,
    SESSION_UNREADABLE,
    TOO_MANY_STREAMS,
    UNKNOWN_SESSION,
)
from contracts.events import ServedTick, SessionBilled, SessionEnded, SessionRequested
from contracts.ids import SessionId
from gateway.domain.access import Scope
from gateway.domain.logged import FellBehind, LoggedEvent, TailReader
from gateway.domain.timeline import Entries
from gateway.ports import Unavailable
from gateway.routes.documented import problems
from gateway.routes.finding import unknown
from gateway.routes.scopes import IsAdmin
from gateway.routes.services import Services, Wired
from gateway.routes.v1_examples import EVENTS, LIVE

router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_UNBILLED_S: Final = 30.0
_MOST_MS: Final = 3_600_000

_Deadline = Annotated[
    int | None, Query(alias="deadlineMs", ge=100, le=_MOST_MS, description="ms after which the stream ends")
]
_LastEventId = Annotated[
    str,
    Header(alias="Last-Event-ID", pattern=r"^[0-9]{0,18}$", description="`id` of the last event that the client has"),
]
_EVENT: Final = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("event", "data", "id")},
    "required": ["event", "data"],
}


def _documented(description: str, example: str) -> dict[int | str, dict[str, Any]]:
    schema = {**_EVENT, "description": f"One of the server-sent events. {description} A comment comes every 10 s."}
    return {200: {"content": {"text/event-stream": {"schema": schema, "example": example}}}}


@router.get(
    "/v1/sessions/{session_id}/events",
    response_class=Response,
    responses=problems(
        INVALID_SESSION_ID, UNKNOWN_SESSION, SESSION_UNREADABLE, BUS_UNAVAILABLE, TOO_MANY_STREAMS, GATEWAY_STOPPING
    )
    | _documented("`id`: `seq` of the entry; `event`: its kind; `data`: an Entry.", EVENTS)
    | {204: {"description": "The session is billed, and nothing comes after Last-Event-ID."}},
    operation_id="follow_session_events",
)
async def follow_session_events(
    session_id: Annotated[SessionId, Path()],
    services: Wired,
    is_admin: IsAdmin,
    deadline_ms: _Deadline = None,
    last_event_id: _LastEventId = "",
) -> Response:
    """The entries of a session's timeline: those that the log has, then each as it comes.

    The stream ends after the bill, or 30 s after the end. With Last-Event-ID it begins after that entry, on any
    gateway.
    """
    source = _session_events(session_id, services, int(last_event_id or 0), is_admin=is_admin)
    return await services.streams.respond(source, keepalive_s=services.keepalive_s, deadline_ms=deadline_ms)


@router.get(
    "/v1/events",
    response_class=Response,
    responses=problems(REDIS_UNAVAILABLE, BUS_UNAVAILABLE, TOO_MANY_STREAMS, GATEWAY_STOPPING)
    | _documented("`event`: session; `data`: a SessionSummary.", LIVE),
    operation_id="follow_sessions",
)
async def follow_sessions(services: Wired, is_admin: IsAdmin, deadline_ms: _Deadline = None) -> Response:
    """The summary of every open session, then of each session that changes, at most twice a second."""
    source = services.live.follow(is_admin=is_admin)
    return await services.streams.respond(source, keepalive_s=services.keepalive_s, deadline_ms=deadline_ms)


class _SessionEvents:
    """A session's entries after `since`, from its history and then from the log's tail.

    Args:
        since: `seq` of the last entry that the client has.
    """

    def __init__(
        self,
        session_id: str,
        history: Sequence[LoggedEvent],
        watch: TailReader,
        services: Services,
        since: int,
        *,
        is_admin: bool,
    ) -> None:
        self._watch = watch
        self._services = services
        self._entries = Entries(services.turn_budget_ms, is_admin=is_admin)
        self._since = since if since <= history[-1].seq else 0  # the log was created again
        self._through = 0
        self._until: float | None = None
        self._past: bytes | None = self._lines(history)
        self._session_id = session_id
        self._news: Sequence[LoggedEvent] = ()

    async def next(self) -> bytes | None:
        past, self._past = self._past, None
        if past or (past is not None and not self._has_ended):
            return past
        if self._has_ended:
            return None
        try:
            async with asyncio.timeout_at(self._until):
                self._news = self._news or await self._watch.next()
                for record in self._news:
                    if isinstance(record.event, SessionBilled):
                        await self._note_ticks(record.seq)
        except TimeoutError:
            return None
        news, self._news = self._news, ()
        return self._lines(news)

    async def _note_ticks(self, before: int) -> None:
        """Read the ticks, which the tail leaves out: after a node's death the bill's entry counts their faults."""
        try:
            history = await self._services.log.records(self._session_id)
        except Unavailable as error:
            raise FellBehind from error  # the client connects again
        for record in history:
            if isinstance(record.event, ServedTick) and record.seq < before:
                self._entries.add(record)

    @property
    def _has_ended(self) -> bool:
        return self._until is not None and asyncio.get_running_loop().time() >= self._until

    def _lines(self, records: Sequence[LoggedEvent]) -> bytes:
        lines: list[bytes] = []
        for record in records:
            if record.seq <= self._through:
                continue
            self._through = record.seq
            self._note_end(record)
            entry = self._entries.add(record)
            if entry is not None and record.seq > self._since:
                data = entry.model_dump_json(by_alias=True)
                lines.append(format_sse_event(event=entry.kind, data_str=data, id=str(entry.seq)))
        return b"".join(lines)

    def _note_end(self, record: LoggedEvent) -> None:
        now = asyncio.get_running_loop().time()
        if isinstance(record.event, SessionBilled):
            self._until = now
        elif isinstance(record.event, SessionEnded):
            age_s = (self._services.now() - record.event.time).total_seconds()
            self._until = now + max(0.0, _UNBILLED_S - age_s)


@asynccontextmanager
async def _session_events(
    session_id: str, services: Services, since: int, *, is_admin: bool
) -> AsyncGenerator[_SessionEvents]:
    async with services.log.watch(session_id) as watch:
        history = await services.log.records(session_id)
        if not any(isinstance(record.event, SessionRequested) for record in history):
            await unknown(session_id, services.log)
        yield _SessionEvents(session_id, history, watch, services, since, is_admin=is_admin)
