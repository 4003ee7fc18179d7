"""A real server on a real socket against clients that are slow, silent, too many or too big."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis import problem
from chassis.http_protocol import ConnectionLimits
from chassis.web import WebServer
from contracts.errors import UNAUTHORIZED, Refused

PATIENCE_S = 10.0
"""Far above each limit of the server, and far below what a test may take."""


class NeedsKey:
    """A guard as the gateway's: it looks at headers alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != "/health" and not any(name == b"x-api-key" for name, _ in scope["headers"]):
            raise Refused(UNAUTHORIZED, "no key")
        await self._app(scope, receive, send)


async def healthy(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def echo(request: Request) -> Response:
    client = request.client.host if request.client else ""
    return JSONResponse({"bytes": len(await request.body()), "client": client})


BIG = b"x" * 2_000_000


async def big(_request: Request) -> Response:
    return Response(BIG)


async def events(_request: Request) -> Response:
    async def rare() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b": still here\n\n"
            await asyncio.sleep(0.7)

    return StreamingResponse(rare(), media_type="text/event-stream")


@asynccontextmanager
async def serving(limits: ConnectionLimits, **more: Any) -> AsyncIterator[WebServer]:
    release = asyncio.Event()

    async def slow(_request: Request) -> Response:
        await release.wait()
        return JSONResponse({})

    routes = [Route("/health", healthy), Route("/echo", echo, methods=["POST"]), Route("/slow", slow)]
    app = Starlette(routes=[*routes, Route("/big", big), Route("/events", events)])
    problem.install(app, body_deadline_s=0.5, deadline_s=PATIENCE_S, guards=[Middleware(NeedsKey)])
    server = WebServer(app, host="127.0.0.1", port=0, drain_timeout_s=1, limits=limits, **more)
    await server.start()
    try:
        yield server
    finally:
        release.set()
        await server.stop()


class Wire:
    """One connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, server: WebServer, data: bytes = b"") -> "Wire":
        wire = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        await wire.send(data)
        return wire

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def all(self) -> bytes:
        """What comes until the server closes the connection."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""

    async def answer(self) -> tuple[int, bytes]:
        """One answer, of which the connection may outlive."""
        async with asyncio.timeout(PATIENCE_S):
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            body = await self._reader.readexactly(int(length.split(b":")[1]))
        return int(head.split()[1]), body

    async def is_open(self) -> bool:
        try:
            async with asyncio.timeout(0.05):
                return bool(await self._reader.read(1))
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False

    def close(self) -> None:
        self._writer.close()


def post(body: bytes, *, key: bool = True, length: int | None = None) -> bytes:
    named = b"X-API-Key: k\r\n" if key else b""
    head = f"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body) if length is None else length}\r\n"
    return head.encode() + named + b"\r\n" + body


GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: a\r\nX-API-Key: k\r\n\r\n"
QUICK = ConnectionLimits(header_s=0.3, idle_s=1)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", b""),
        (b"\r\n", b"408"),
        (b"GET /heal", b"408"),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX-A: ", b"408"),
        (GET + b"GET /health HT", b"408"),
        (GET + b"\r\n\r\n", b"200"),
    ],
    ids=["silent", "a line feed", "half a line", "half a header", "half a second request", "line feeds after one"],
)
async def test_headers_have_a_deadline(sent: bytes, status: bytes) -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server, sent)

        answers = await wire.all()

    assert status in answers


async def test_a_header_that_drips_has_the_same_deadline() -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server, b"GET /health HTTP/1.1\r\n")

        async def drip() -> None:
            while True:
                await wire.send(b"X-A: b\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        answer = await wire.all()
        dripping.cancel()
        await asyncio.wait({dripping})

    assert answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("in_one", [True, False])
async def test_headers_have_a_size(in_one: bool) -> None:
    async with serving(ConnectionLimits(max_header_bytes=2048)) as server:
        wire = await Wire.to(server)
        value = b"x" * 5000
        await wire.send(b"GET /health HTTP/1.1\r\nX-A: " + value + (b"\r\n\r\n" if in_one else b""))

        answer = await wire.all()

    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_an_idle_connection_is_closed_and_a_used_one_is_not() -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server)
        for _ in range(4):
            await wire.send(GET)
            assert (await wire.answer())[0] == 200
            await asyncio.sleep(0.2)

        assert await wire.all() == b""


async def test_a_body_has_a_deadline_of_its_own() -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server, post(b"half", length=100))

        status, body = await wire.answer()

    assert (status, json.loads(body)["code"]) == (408, "body_too_slow")


async def test_a_strangers_body_is_answered_before_it_has_come_and_then_cut() -> None:
    async with serving(ConnectionLimits()) as server:
        wire = await Wire.to(server, post(b"", key=False, length=60_000))

        status, body = await wire.answer()
        rest = await wire.all()

    assert (status, json.loads(body)["code"], rest) == (401, "unauthorized", b"")


async def test_a_body_that_was_sent_in_full_gets_its_refusal_not_a_reset() -> None:
    async with serving(ConnectionLimits()) as server:
        for _ in range(10):
            wire = await Wire.to(server, post(b"x" * 200_000, key=False))
            assert (await wire.answer())[0] == 401
            wire.close()


async def test_a_client_that_keeps_connections_is_told_that_this_one_closes() -> None:
    async with serving(ConnectionLimits()) as server:
        url = f"http://127.0.0.1:{server.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as api:
            for _ in range(20):
                refused = await api.post("/echo", content=b"x" * 10)
                accepted = await api.post("/echo", content=b"x" * 10, headers={"X-API-Key": "k"})
                assert (refused.status_code, accepted.status_code) == (401, 200)
                assert refused.headers["connection"] == "close"
                assert "connection" not in accepted.headers


async def test_a_good_request_is_answered_also_in_pieces_and_pipelined() -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server)
        for byte in post(b"hello"):
            await wire.send(bytes([byte]))
        assert json.loads((await wire.answer())[1])["bytes"] == 5
        await wire.send(post(b"one") + post(b"three") + GET)
        assert [json.loads((await wire.answer())[1]).get("bytes") for _ in range(3)] == [3, 5, None]


CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
KEY = b"X-API-Key: k\r\n"


@pytest.mark.parametrize(
    "framing",
    [b"0\r\n" + b"a: b\r\n" * 300, b"0\r\n" + b"a" * 1000, b"1;" + b"a" * 1000, b"0" * 1000],
    ids=["trailers", "one trailer", "an extension", "a size"],
)
@pytest.mark.parametrize("head", [CHUNKED + KEY, CHUNKED.replace(b"/echo", b"/health")])
async def test_what_frames_a_body_has_a_size(head: bytes, framing: bytes) -> None:
    async with serving(ConnectionLimits(max_header_bytes=1024)) as server:
        wire = await Wire.to(server, head + b"\r\n")
        sent = 0
        with suppress(ConnectionResetError, BrokenPipeError):
            while sent < 40 * len(framing):
                await wire.send(framing if sent == 0 else framing[9:])
                sent += len(framing)
                await asyncio.sleep(0.01)

        assert sent < 40 * len(framing), "the server takes it for ever"


async def test_a_client_is_told_that_its_trailers_are_too_large() -> None:
    async with serving(ConnectionLimits(max_header_bytes=1024)) as server:
        wire = await Wire.to(server, CHUNKED + KEY + b"\r\n0\r\n")
        await asyncio.sleep(0.05)
        await wire.send(b"a: b\r\n" * 300)

        assert (await wire.all()).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("at", [None, 0.05])
async def test_a_trailer_is_no_header(at: float | None) -> None:
    """Neither of this request nor of the next one."""
    async with serving(QUICK) as server:
        wire = await Wire.to(server, CHUNKED.replace(b"/echo", b"/health") + b"\r\n" + b"0\r\n" + (b"" if at else KEY))
        if at:
            await asyncio.sleep(at)
            await wire.send(KEY)
        await wire.send(b"\r\n" + post(b"x", key=False))
        assert (await wire.answer())[0] == 405
        assert (await wire.answer())[0] == 401
        wire = await Wire.to(server, CHUNKED + b"\r\n1\r\nx\r\n0\r\n" + KEY + b"\r\n")
        assert (await wire.answer())[0] == 401


async def test_a_large_body_in_small_chunks_passes_and_the_next_requests_too() -> None:
    async with serving(ConnectionLimits(max_header_bytes=1024)) as server:
        chunks = b"1;e=%b\r\nx\r\n" % (b"y" * 100) * 500 + b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\nA: b\r\n\r\n"
        wire = await Wire.to(server, (CHUNKED + KEY + b"\r\n" + chunks) * 2 + post(b"x" * 200_000) + GET)

        answers = [json.loads((await wire.answer())[1]).get("bytes") for _ in range(4)]

    assert answers == [66_036, 66_036, 200_000, None]


H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET])
async def test_an_upgrade_is_answered_as_a_plain_request(upgrade: bytes) -> None:
    """A body stays a body, even one that looks like a request, and what follows is answered; wherever packets end."""
    length, in_chunks = post(GET), CHUNKED + KEY + b"\r\n%x\r\n%b\r\n0\r\nA: b\r\n\r\n" % (len(GET), GET)
    plain = [GET, length, in_chunks, post(b""), post(b"abc")]
    data = b"".join(one.replace(b"Host: a\r\n", b"Host: a\r\n" + upgrade, 1) for one in plain) + GET
    expected = [None, len(GET), len(GET), 0, 3, None]
    async with serving(ConnectionLimits()) as server:
        for size in (len(data), 1, 2, 7, 64, 100, 101):
            wire = await Wire.to(server)
            pieces = (data[at : at + size] for at in range(0, len(data), size))
            for piece in pieces:
                await wire.send(piece)
                await asyncio.sleep(0)
            assert [json.loads((await wire.answer())[1]).get("bytes") for _ in [*plain, GET]] == expected
            wire.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST /echo HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
        b"POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n",
    ],
)
@pytest.mark.parametrize("together", [True, False])
async def test_an_upgrade_on_a_connection_that_closes_then_has_its_body(head: bytes, together: bool) -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server, head + KEY + b"Content-Length: 3\r\n\r\n" + (b"abc" if together else b"a"))
        if not together:
            await asyncio.sleep(0.05)
            await wire.send(b"bc")

        answer = await wire.all()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"bytes":3' in answer


async def test_an_upgrades_body_that_comes_later_is_not_the_next_request() -> None:
    async with serving(QUICK) as server:
        head = post(b"", length=len(GET)).replace(b"Host: a\r\n", b"Host: a\r\n" + H2C)
        wire = await Wire.to(server, head)
        await asyncio.sleep(0.1)
        await wire.send(GET)

        status, body = await wire.answer()
        assert (status, json.loads(body)["bytes"]) == (200, len(GET))
        assert await wire.all() == b""


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Transfer-Encoding: gzip\r\n",
    ],
)
@pytest.mark.parametrize("upgrade", [b"", H2C])
async def test_a_body_of_two_lengths_is_refused(framing: bytes, upgrade: bytes) -> None:
    async with serving(QUICK) as server:
        wire = await Wire.to(server, b"POST /echo HTTP/1.1\r\nHost: a\r\n" + KEY + upgrade + framing + b"\r\n" + GET)

        answers = await wire.all()

    assert (answers.startswith(b"HTTP/1.1 400 "), answers.count(b"HTTP/1.1 ")) == (True, 1)


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: a\r\nX-API-Key: k\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    async with serving(QUICK) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(PATIENCE_S):
            writer.write(head)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
            writer.write(b"{}")
            assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


def asking(server: WebServer, path: bytes, *, more: bytes = b"") -> socket.socket:
    """A client that has asked and reads nothing by itself."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    wire.settimeout(PATIENCE_S)
    wire.connect(("127.0.0.1", server.port))
    wire.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: a\r\nX-API-Key: k\r\n" + more + b"\r\n")
    return wire


def taken(wire: socket.socket) -> int:
    """How many bytes still come from the server."""
    size = 0
    with wire, suppress(ConnectionResetError):
        while data := wire.recv(64 * 1024):
            size += len(data)
    return size


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
async def test_an_answer_that_nobody_reads_is_given_up(more: bytes) -> None:
    async with serving(ConnectionLimits(idle_s=0.3)) as server:
        wires = [asking(server, b"/big", more=more) for _ in range(5)]
        await asyncio.sleep(1.2)

        assert [await asyncio.to_thread(taken, wire) < len(BIG) for wire in wires] == [True] * 5


async def test_a_client_that_reads_slowly_gets_its_answer() -> None:
    async with serving(ConnectionLimits(idle_s=0.3)) as server:
        wire, size = asking(server, b"/big", more=b"Connection: close\r\n"), 0
        while data := await asyncio.to_thread(wire.recv, 100_000):
            size += len(data)
            await asyncio.sleep(0.03)
        wire.close()

    assert size > len(BIG)


async def test_a_stream_may_pause_for_longer_than_a_client_may_not_read() -> None:
    async with serving(ConnectionLimits(idle_s=0.3)) as server:
        wire = asking(server, b"/events", more=b"Connection: close\r\n")
        got = b""
        while data := await asyncio.to_thread(wire.recv, 100):
            got += data
        wire.close()

    assert got.count(b"still here") == 3


async def test_at_the_bound_an_idle_connection_makes_room() -> None:
    async with serving(ConnectionLimits(max_connections=3)) as server:
        idle = [await Wire.to(server) for _ in range(3)]
        busy = await Wire.to(server, SLOW)
        wire = await Wire.to(server, GET)

        assert (await wire.answer())[0] == 200
        assert [await one.is_open() for one in idle] == [False, False, True]
        assert await busy.is_open()


async def test_when_all_are_at_work_probes_are_answered_and_others_are_told() -> None:
    async with serving(ConnectionLimits(max_connections=3)) as server:
        busy = [await Wire.to(server, SLOW) for _ in range(3)]
        await asyncio.sleep(0.1)
        probe, other = await Wire.to(server, GET), await Wire.to(server, post(b"x"))

        assert (await probe.answer())[0] == 200
        status, body = await other.answer()
        assert (status, json.loads(body)["code"], json.loads(body)["retryable"]) == (503, "overloaded", True)
        assert [await one.is_open() for one in busy] == [True] * 3
        crowd = [await Wire.to(server) for _ in range(150)]
        probe = await Wire.to(server, GET)
        assert (await probe.answer())[0] == 200, "the newest of a crowd is heard"
        assert sum(await asyncio.gather(*(one.is_open() for one in crowd))) <= 64
        assert [await one.is_open() for one in busy] == [True] * 3


@pytest.mark.parametrize(
    ("trusted", "client"), [("127.0.0.1", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1"), ("", "127.0.0.1")]
)
async def test_the_callers_address_is_the_proxys_word_where_the_proxy_is_trusted(trusted: str, client: str) -> None:
    async with serving(ConnectionLimits(), trusted_proxies=trusted) as server:
        wire = await Wire.to(server, post(b"").replace(b"Host: a", b"Host: a\r\nX-Forwarded-For: 192.0.2.7"))

        assert json.loads((await wire.answer())[1])["client"] == client
