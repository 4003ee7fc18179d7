"""uvicorn's HTTP/1.1 protocol with limits that it lacks: time and size of headers, framing of chunked bodies, open
connections, unread responses.

A reverse proxy usually stops slow and idle clients; these limits also protect a server without one.
"""

import asyncio
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from uuid import uuid4

import httptools
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from chassis import metrics
from chassis.edge import REQUEST_ID_HEADER
from chassis.headers import SecurityHeaders
from chassis.problem import problem_response
from chassis.unread import UnreadWatch, unread_bytes
from contracts.errors import OVERLOADED, Refused

_PROBES: Final = ("/health", "/ready")
_RESERVE: Final = 64  # connections above the limit that still get an answer: probes, and a 503 for the others
_RESERVE_HEADER_S: Final = 1.0
_LINGER_S: Final = 2.0
_FRAMING: Final = (b"content-length", b"transfer-encoding")

_SHED: Final = metrics.counter("http_connections_shed_total", "Connections closed at a bound, by bound", ("bound",))


@dataclass(frozen=True)
class ConnectionLimits:
    """The limits of one server.

    Attributes:
        max_connections: Open connections. Above the limit the longest idle one is closed. While all of them have a
            request in flight, the next 64 get a 503, except on /health and /ready.
        header_s: Seconds from the first byte of a request, or from the connect, to the end of the headers.
        idle_s: Seconds that a connection may be idle between requests, and that a client may leave all sent data
            unacknowledged.
        max_header_bytes: Size of the request line and all headers. Also the size of the framing between two chunks of
            a body: sizes, extensions and trailers.
    """

    max_connections: int = 2000
    header_s: float = 10.0
    idle_s: float = 30.0
    max_header_bytes: int = 32 * 1024


class BoundedHttp(HttpToolsProtocol):
    """One connection; `bounded` sets `limits`."""

    limits = ConnectionLimits()

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.parser = _PlainParser(self)
        self._timer = _Timer(self.loop, self._too_slow)
        self._unparsed = 0  # bytes of headers, or of body framing, since the last complete part
        self._in_headers = True
        self._lingers = False
        self.idle_since = self.loop.time()

    # --- the connection -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self.unread = UnreadWatch(transport, self.loop, self.limits.idle_s, _SHED.labels("unread").inc)
        header_s = self.limits.header_s
        idle = _idle_others(self)
        in_flight = len(self.connections) - 1 - len(idle)
        limit = self.limits.max_connections
        if in_flight >= limit:
            limit += _RESERVE
            app = cast(ASGIApp, self.config.loaded_app)  # pyright: ignore[reportUnknownMemberType]
            self.app, header_s = _overloaded(app), min(_RESERVE_HEADER_S, header_s)
        if len(self.connections) > limit and idle:
            _shed(min(idle, key=lambda other: other.idle_since))
        self._timer.start(header_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self.unread.cancel()
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
        elif not self._timer.runs and self.is_idle:
            self._timer.start(self.limits.header_s)  # bytes after a request that do not begin the next one

    # --- the request --------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.parser.replays:
            return
        super().on_message_begin()
        self._in_headers = True
        self._unparsed = max(1, self._unparsed)  # the request has begun, maybe in the last packet of the previous one
        if not self._timer.runs:
            self._timer.start(self.limits.header_s)

    def on_url(self, url: bytes) -> None:
        if not self.parser.replays:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Ignore trailers: the guards have run already, and no route reads them."""
        if self._in_headers and not self.parser.replays:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.replays or self.transport.is_closing():
            return
        self._timer.cancel()
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
        self.idle_since = self.loop.time()
        if not self._lingers:
            super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        super().send_400_response(msg)
        self.unread.start()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless its client is still reading a response."""
        if unread_bytes(self.transport) == 0:
            super().timeout_keep_alive_handler()
        else:
            again = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = again

    # An upgrade request gets the response of the plain request that it also is (RFC 9110, section 7.8).
    def _should_upgrade(self) -> bool:
        return False

    # --- the limits ---------------------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Whether no request of this connection is in flight."""
        cycle = cast(RequestResponseCycle | None, self.cycle)  # None until the first request
        return cycle is None or cycle.response_complete

    def _too_slow(self) -> None:
        if self.transport.is_closing():
            return
        if not self.is_idle:  # a slow next request, while this one is in flight
            self._timer.start(self.limits.header_s)
            return
        if self._lingers or not self._in_headers or self._unparsed == 0:
            self.transport.abort()
            return
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "header_time")

    def close_gently(self) -> None:
        """Close; after a response that preceded the end of the body, leave the client 2 s to read the response.

        Closing with unread bytes resets the connection, and the client might never see the response.
        """
        if not self.cycle.more_body or self.transport.is_closing():
            self.transport.close()
            return
        self._lingers = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer.start(_LINGER_S)

    def _refuse(self, status: HTTPStatus, bound: str) -> None:
        """Close with a status, unless the status would land inside or after another response."""
        _SHED.labels(bound).inc()
        self._timer.cancel()
        if self.is_idle if self._in_headers else not (self.pipeline or self.cycle.response_started):
            line = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(line.encode())
        self.transport.close()
        self.unread.start()


class _PlainParser(httptools.HttpRequestParser):
    """uvicorn's parser, which also parses the body of an upgrade request.

    llhttp treats the bytes after such headers as another protocol and skips the body, which uvicorn would parse as the
    next request. Here a second parser replays the framing headers without the upgrade, and continues with the body.
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
        """The parser that replaces this one from the body on."""
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
    """The transport that uvicorn writes a response to: it watches the writes, and closes gently."""

    def __init__(self, connection: BoundedHttp) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.transport.write(data)
        self._connection.unread.wrote(len(data))

    def is_closing(self) -> bool:
        """Asked by uvicorn before it answers `Expect: 100-continue`."""
        return self._connection.transport.is_closing()

    def close(self) -> None:
        self._connection.close_gently()


class _Timer:
    """One restartable timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop, expired: Callable[[], None]) -> None:
        self._loop = loop
        self._expired = expired
        self._handle: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        return self._handle is not None

    def start(self, after_s: float) -> None:
        self.cancel()
        self._handle = self._loop.call_later(after_s, self._expire)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _expire(self) -> None:
        self._handle = None
        self._expired()


def _idle_others(connection: BoundedHttp) -> list[BoundedHttp]:
    """The other idle connections; empty below the limit, where the search would be wasted."""
    if len(connection.connections) <= connection.limits.max_connections:
        return []
    others = (other for other in connection.connections if isinstance(other, BoundedHttp) and other is not connection)
    return [other for other in others if other.is_idle]


def _shed(connection: BoundedHttp) -> None:
    _SHED.labels("idle").inc()
    connection.connections.discard(connection)  # at once: the next connection may count them in this loop iteration
    connection.transport.abort()


def _overloaded(app: ASGIApp) -> ASGIApp:
    """Serves the probes of `app`, and a 503 otherwise."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith(_PROBES):
            await app(scope, receive, send)
            return
        _SHED.labels("connections").inc()
        identity = uuid4().hex
        refusal = problem_response(Refused(OVERLOADED, "This server is at its limit of open connections."), identity)
        refusal.headers[REQUEST_ID_HEADER] = identity
        refusal.headers["Connection"] = "close"
        await SecurityHeaders(refusal)(scope, receive, send)

    return answer


def bounded(limits: ConnectionLimits) -> type[BoundedHttp]:
    """The protocol class with these limits: uvicorn takes a class."""
    return type("BoundedHttp", (BoundedHttp,), {"limits": limits})
