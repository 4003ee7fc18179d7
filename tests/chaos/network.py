"""A cable that can be pulled, a TCP proxy between one process and a server; and a server that refuses every request."""

import asyncio
from contextlib import suppress
from typing import Self


class _Listening:
    """A server on a free port, until the context ends."""

    _server: asyncio.Server

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    @property
    def port(self) -> int:
        """Where to connect."""
        return int(self._server.sockets[0].getsockname()[1])


class Cable(_Listening):
    """Carries bytes both ways until it is pulled; then nothing passes, and neither side is told."""

    def __init__(self, host: str, port: int, *, at: str = "127.0.0.1") -> None:
        """Prepare.

        Args:
            at: The address to listen on.
        """
        self._target = (host, port)
        self._at = at
        self._whole = asyncio.Event()
        self._whole.set()
        self._carrying: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._plug, self._at, 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await super().__aexit__()
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    def pull(self) -> None:
        """From now on nothing passes: connections stay open and silent, as with a dead network."""
        self._whole.clear()

    def plug_in(self) -> None:
        """What waited passes now."""
        self._whole.set()

    async def _plug(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._carry(source, sink))
            self._carrying.add(task)
            task.add_done_callback(self._carrying.discard)

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                await self._whole.wait()
                sink.write(data)
                await sink.drain()
        with suppress(OSError):
            sink.close()


class Refusing(_Listening):
    """An HTTP server that answers every request with one status, or reads it and never answers.

    Args:
        status: The answer's status; None: every request hangs until the client gives up.

    Attributes:
        asked: How many requests came.
    """

    def __init__(self, status: int | None) -> None:
        self.asked = 0
        self._answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        self._hangs = status is None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        return self

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        with suppress(OSError):
            await reader.read(65536)
            if self._hangs:
                await reader.read()  # until the client closes the connection
            writer.write(self._answer)
            await writer.drain()
        writer.close()
