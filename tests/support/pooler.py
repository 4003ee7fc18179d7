"""A pooler of PostgreSQL connections in transaction mode, as PgBouncer's: clients share a few server connections.

A client has a server connection for one transaction. The next one may run on another connection, which does not know
the statements that this client prepared, and where another client's may have their names.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from typing import Final

from sqlalchemy.engine import make_url

_SSL: Final = 80877103
_VERSION_3: Final = 196608
_READY: Final = (b"Z",)
# Sync and Query get a ReadyForQuery last; a Flush asks for the answer to the preparation of a statement.
_ENDS: Final = {b"S": _READY, b"Q": _READY, b"H": (b"T", b"n", b"E")}
_IDLE: Final = b"I"


class _Left(Exception):
    """The client closes the connection."""


class _Wire:
    """One connection, read in messages."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def startup(self) -> tuple[int, bytes]:
        """The first message, which has no type: its code and all of it."""
        head = await self._reader.readexactly(8)
        size, code = struct.unpack("!ii", head)
        return code, head + await self._reader.readexactly(size - 8)

    async def message(self) -> tuple[bytes, bytes]:
        """The next message: its type and all of it.

        Raises:
            _Left: The client closes the connection.
        """
        head = await self._reader.readexactly(5)
        if head[:1] == b"X":
            raise _Left
        body = await self._reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)
        return head[:1], head + body

    async def answer(self, ends: Collection[bytes] = _READY) -> bytes:
        """All messages up to the first of these types."""
        read = b""
        while True:
            kind, message = await self.message()
            read += message
            if kind in ends:
                return read


class _Pooler:
    def __init__(self, socket: str, size: int) -> None:
        self._socket = socket
        self._size = size
        self._free: asyncio.Queue[_Wire] = asyncio.Queue()
        self._greeting = b""
        self._opening = asyncio.Lock()
        self.servers: list[_Wire] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Wire(reader, writer)
        try:
            code, startup = await client.startup()
            if code == _SSL:
                writer.write(b"N")
                code, startup = await client.startup()
            if code == _VERSION_3:
                await self._open(startup)
                writer.write(self._greeting)
                while True:
                    await self._transaction(client)
        except (asyncio.IncompleteReadError, ConnectionError, _Left):
            pass
        finally:
            writer.close()

    async def _open(self, startup: bytes) -> None:
        """Open the server connections as the first client asks for one."""
        async with self._opening:
            while len(self.servers) < self._size:
                server = _Wire(*await asyncio.open_unix_connection(self._socket))
                server.writer.write(startup)
                self._greeting = await server.answer()
                self.servers.append(server)
                self._free.put_nowait(server)

    async def _transaction(self, client: _Wire) -> None:
        kind, message = await client.message()
        server, is_over = await self._free.get(), False
        try:
            while not is_over:
                server.writer.write(message)
                if (ends := _ENDS.get(kind)) is not None:
                    answer = await server.answer(ends)
                    client.writer.write(answer)
                    is_over = ends is _READY and answer[-1:] == _IDLE
                if not is_over:
                    kind, message = await client.message()
        finally:
            if not is_over:
                server.writer.write(b"Q" + struct.pack("!i", 13) + b"ROLLBACK\0")
                await server.answer()
            self._free.put_nowait(server)


@asynccontextmanager
async def pooled(url: str, *, size: int) -> AsyncGenerator[str]:
    """DATABASE_URL of a pooler with so many connections to the database at this URL, which has a Unix socket."""
    found = make_url(url)
    pooler = _Pooler(f"{found.query['host']}/.s.PGSQL.{found.port or 5432}", size)
    async with await asyncio.start_server(pooler.serve, "127.0.0.1") as listening:
        port = listening.sockets[0].getsockname()[1]
        yield f"postgresql+asyncpg://{found.username}@127.0.0.1:{port}/{found.database}"
        for server in pooler.servers:
            server.writer.close()
