"""Open streams of server-sent events: limited in number, kept alive, and ended when the gateway stops."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Final, Protocol

from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse
from starlette.responses import Response

from chassis import metrics
from contracts.errors import GATEWAY_STOPPING, TOO_MANY_STREAMS, Refused
from gateway.domain.logged import FellBehind

_RETRY_AFTER_S: Final = 1
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_BEGIN: Final = b"retry: 2000\n\n"
_STOPPING: Final = b": this gateway stops; connect again\n\n"
_DEADLINE: Final = b": deadlineMs has passed\n\n"
_BEHIND: Final = b": closed because the client read too slowly, or the log was reset; connect again\n\n"

_OPEN: Final = metrics.gauge("gateway_event_streams", "Open streams of events, of EVENT_STREAMS_MAX")
_TOO_SLOW: Final = metrics.counter("gateway_event_streams_behind_total", "Streams closed because their client was slow")


class Source(Protocol):
    """What a stream tells."""

    async def next(self) -> bytes | None:
        """The events since the last call, perhaps none; None: there will be no more. Safe to cancel.

        Raises:
            FellBehind: Some are lost to this stream.
        """
        ...


class EventStreams:
    """The open streams of this gateway.

    Args:
        limit: The most at once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._waiting: set[asyncio.Timeout] = set()
        self._has_stopped = False

    def stop(self) -> None:
        """End every stream, and refuse new ones."""
        self._has_stopped = True
        for timeout in self._waiting:
            if not timeout.expired():  # an expired timeout cannot be rescheduled
                timeout.reschedule(asyncio.get_running_loop().time())

    async def respond(
        self, source: AbstractAsyncContextManager[Source], *, keepalive_s: float, deadline_ms: int | None
    ) -> Response:
        """Answer with a stream once its source has begun; 204 if it has ended before.

        Args:
            keepalive_s: Pause between comments in an idle stream.
            deadline_ms: The stream ends after so many ms; None: with its source.

        Raises:
            Refused: `too_many_streams`, `gateway_stopping`, and what the source raises as it begins.
        """
        if self._has_stopped:
            raise Refused(GATEWAY_STOPPING, "This gateway stops: it opens no stream.", retry_after_s=_RETRY_AFTER_S)
        if self._open >= self._limit:
            raise Refused(TOO_MANY_STREAMS, f"{self._limit} streams are open already.", retry_after_s=_RETRY_AFTER_S)
        until = None if deadline_ms is None else asyncio.get_running_loop().time() + deadline_ms / 1000
        lines = self._lines(source, keepalive_s, until)
        first = await anext(lines, None)
        if first is None:
            return Response(status_code=204)
        return EventSourceResponse(_joined(first, lines), headers=_HEADERS)

    async def _lines(
        self, source: AbstractAsyncContextManager[Source], keepalive_s: float, until: float | None
    ) -> AsyncGenerator[bytes]:
        self._count(1)
        try:
            async with source as events:
                part = await events.next()
                if part is None:
                    return
                yield _BEGIN + part
                while (part := await self._next(events, keepalive_s, until)) is not None:
                    yield part
                if self._has_stopped:
                    yield _STOPPING
                elif _has_passed(until):
                    yield _DEADLINE
        except FellBehind:
            _TOO_SLOW.inc()
            yield _BEHIND
        finally:
            self._count(-1)

    async def _next(self, events: Source, keepalive_s: float, until: float | None) -> bytes | None:
        """The next events, or a comment if none comes in time; None at the end, the deadline, or the gateway's stop."""
        while not self._has_stopped and not _has_passed(until):
            now = asyncio.get_running_loop().time()
            timeout = asyncio.timeout_at(now + keepalive_s if until is None else min(now + keepalive_s, until))
            try:
                async with timeout:
                    self._waiting.add(timeout)
                    part = await events.next()
            except TimeoutError:
                if self._has_stopped or _has_passed(until):
                    return None
                return KEEPALIVE_COMMENT
            finally:
                self._waiting.discard(timeout)
            if part is None or part:
                return part
        return None

    def _count(self, change: int) -> None:
        self._open += change
        _OPEN.set(self._open)


def _has_passed(until: float | None) -> bool:
    return until is not None and asyncio.get_running_loop().time() >= until


async def _joined(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    try:
        yield first
        async for line in rest:
            yield line
    finally:
        await rest.aclose()
