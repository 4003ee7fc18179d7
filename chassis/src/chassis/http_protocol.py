"""uvicorn's HTTP/1.1 protocol with the bounds that it lacks: headers (time, size), what frames a chunked body, open
connections, unread answers.

A reverse proxy usually keeps slow and idle clients away; these hold without one.
"""

import asyncio
from array import array
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import uuid4

import httptools
from contracts.errors import OVERLOADED, Refused
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chassis import metrics
from chassis.edge import REQUEST_ID_HEADER
from chassis.headers import SecurityHeaders
from chassis.problem import problem_response
from chassis.unread import cut, unread_bytes

_PROBES: Final = ("/health", "/ready")
_RESERVE: Final = 64  # connections beyond the bound that are still answered: probes, and a 503 for the others
_RESERVE_HEADER_S: Final = 1.0
_LINGER_S: Final = 2.0
_FRAMING: Final = (b"content-length", b"transfer-encoding")

_SHED: Final = metrics.counter("http_connections_shed_total", "Connections closed at a bound, by bound", ("bound",))


@dataclass(frozen=True)
class ConnectionLimits:
    """What one server holds for its clients.

    Attributes:
        max_connections: Open at once. Beyond it the one that has waited longest without a request is closed. When so
            many are at work, the next 64 are answered 503, except on /health and /ready.
        header_s: From the first byte of a request, or from the connection's begin, to the end of its headers.
        idle_s: That a connection may wait between two requests, and that the client may acknowledge nothing of what is
            sent to it.
        max_header_bytes: Of the request line and all headers together. Also of what a chunked body holds beside its
            data, from one chunk to the next: sizes, extensions and trailers.
    """

    max_connections: int = 2000
    header_s: float = 10.0
    idle_s: float = 30.0
    max_header_bytes: int = 32 * 1024


class BoundedHttp(HttpToolsProtocol):
    """One connection. `limits` is set by `bounded`."""

    limits = ConnectionLimits()

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = _PlainParser(self)
        self._timer: asyncio.TimerHandle | None = None
        self._unparsed = 0  # bytes of headers, or of what frames a body, since the last whole part
        self._in_headers = True
        self._lingers = False
        self._write_timer: asyncio.TimerHandle | None = None
        self._written = 0
        self._waits_since = self.loop.time()

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        header_s = self.limits.header_s
        waiting = self._others_that_wait()
        at_work = len(self.connections) - 1 - len(waiting)
        bound = self.limits.max_connections
        if at_work >= bound:
            bound += _RESERVE
            self.app, header_s = self._overloaded, min(_RESERVE_HEADER_S, header_s)
        if len(self.connections) > bound and waiting:
            _shed(min(waiting, key=lambda other: other._waits_since))
        self._arm(header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        self._unparsed += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed > self.limits.max_header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers")
        elif self._timer is None and self._is_waiting:
            self._arm(self.limits.header_s)  # bytes between two requests that begin none

    # --- the request --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.parser.replays:
            return
        super().on_message_begin()
        self._in_headers = True
        self._unparsed = max(1, self._unparsed)  # it has begun, maybe in the chunk of the request before
        if self._timer is None:
            self._arm(self.limits.header_s)

    def on_url(self, url: bytes) -> None:
        if not self.parser.replays:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. Trailers are left out: a guard has already looked, and no route reads them."""
        if self._in_headers and not self.parser.replays:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.replays or self.transport.is_closing():
            return
        self._disarm()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.max_header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers")
            return
        self._in_headers, self._unparsed = False, 0
        super().on_headers_complete()
        self.cycle.transport = cast(asyncio.Transport, _GentleTransport(self))

    def on_chunk_header(self) -> None:
        self._unparsed = 0

    def on_body(self, body: bytes) -> None:
        self._unparsed = max(0, self._unparsed - len(body))
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._unparsed = 0
        if not self.parser.should_upgrade() and not self.transport.is_closing():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._waits_since = self.loop.time()
        if not self._lingers:
            super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self._watch()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; while its client still takes an answer it is not idle."""
        if unread_bytes(self.transport) == 0:
            super().timeout_keep_alive_handler()
        else:
            again = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = again

    # A request to upgrade is answered as the plain request that it also is (RFC 9110, section 7.8).
    def _should_upgrade(self) -> bool:
        return False

    # --- the bounds ---------------------------------------------------------------------------------------------------

    @property
    def _is_waiting(self) -> bool:
        """No request of this connection is at work."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None until the first request
        return cycle is None or cycle.response_complete

    def _others_that_wait(self) -> "list[BoundedHttp]":
        """The other connections without a request at work; none is looked for below the bound."""
        if len(self.connections) <= self.limits.max_connections:
            return []
        return [
            other
            for other in self.connections
            if isinstance(other, BoundedHttp) and other is not self and other._is_waiting
        ]

    async def _overloaded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(_PROBES):
            app = cast(ASGIApp, self.config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
            await app(scope, receive, send)
            return
        _SHED.labels("connections").inc()
        identity = uuid4().hex
        answer = problem_response(Refused(OVERLOADED, "This server has all the connections that it takes."), identity)
        answer.headers[REQUEST_ID_HEADER] = identity
        answer.headers["Connection"] = "close"
        await SecurityHeaders(answer)(scope, receive, send)

    def _arm(self, after_s: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(after_s, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if not self._is_waiting:  # the next request begins slowly while this one is at work
            self._arm(self.limits.header_s)
            return
        if self._lingers or not self._in_headers or self._unparsed == 0:
            self.transport.abort()
            return
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "header_time")

    def write(self, data: bytes) -> None:
        """Write a part of an answer, which the client must take in time."""
        self.transport.write(data)
        self._written += len(data)
        self._watch()

    def _watch(self) -> None:
        if self._write_timer is None:
            self._look_later()

    def _look_later(self) -> None:
        unread = unread_bytes(self.transport)
        self._write_timer = None
        if unread:
            self._write_timer = self.loop.call_later(self.limits.idle_s, self._look, self._written - unread)

    def _look(self, taken_before: int) -> None:
        """Cut a connection whose client took nothing since the last look: what it does not read is held in memory."""
        unread = unread_bytes(self.transport)
        if unread == 0 or self._written - unread != taken_before:
            self._look_later()
            return
        _SHED.labels("unread").inc()
        cut(self.transport)

    def close_gently(self) -> None:
        """Close; after an answer that came before the body's end, only once the client had a moment to read it.

        Closing at once with bytes unread would reset the connection, and the client might never see the answer.
        """
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        self._lingers = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._arm(_LINGER_S)

    def _refuse(self, status: HTTPStatus, bound: str) -> None:
        """Close, and say why unless the answer would stand within another one or behind its own."""
        _SHED.labels(bound).inc()
        self._disarm()
        if self._is_waiting if self._in_headers else not (self.pipeline or self.cycle.response_started):
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(line.encode())
        self.transport.close()
        self._watch()


class _PlainParser(httptools.HttpRequestParser):
    """uvicorn's parser, except that it goes on after a request to upgrade.

    llhttp takes the bytes after such headers for another protocol: it skips the body, which would be read as the next
    request. Here another parser reads the framing of that request again, without the upgrade, and then its body.
    """

    def __init__(self, connection: BoundedHttp) -> None:
        super().__init__(connection)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._connection = connection
        self.replays = False

    def feed_data(self, data: "bytes | bytearray | memoryview[int] | array[int]") -> None:
        parser, rest = self, memoryview(data)
        while True:
            try:
                httptools.HttpRequestParser.feed_data(parser, rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                parser = self._another()
            else:
                return

    def _another(self) -> "_PlainParser":
        """A new parser in place of this one, at the body; this one reads no more if the connection closes then."""
        connection = self._connection
        parser = connection.parser = _PlainParser(connection)
        framing = b"".join(b"%b: %b\r\n" % header for header in connection.headers if header[0] in _FRAMING)
        parser.replays = True
        try:
            httptools.HttpRequestParser.feed_data(parser, b"POST / HTTP/1.1\r\n" + framing + b"\r\n")
        finally:
            parser.replays = False
        return parser


class _GentleTransport:
    """What a request's answer is written to: the connection, which it closes gently."""

    def __init__(self, connection: BoundedHttp) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.write(data)

    def is_closing(self) -> bool:
        """uvicorn asks before it answers `Expect: 100-continue`."""
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.close_gently()


def _shed(connection: BoundedHttp) -> None:
    _SHED.labels("idle").inc()
    connection.connections.discard(connection)  # now, as the next one that comes may count them before the loop turns
    connection.transport.abort()


def bounded(limits: ConnectionLimits) -> type[BoundedHttp]:
    """The protocol with these limits, as uvicorn wants it: a class."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})
