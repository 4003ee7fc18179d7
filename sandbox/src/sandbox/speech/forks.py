"""The process that forks the recognisers, as the sandbox sees it: started at the first need, and again if it died."""

import asyncio
import socket
import sys
from contextlib import suppress

from sandbox.speech import protocol
from sandbox.speech.protocol import Configuration, Heard, Kind

READY_S = 20.0


class RecogniserFailed(RuntimeError):
    """A recogniser process did not start, or died."""


class Ear:
    """One session's recogniser process. It ends soon after its connection does: it finishes what it is decoding."""

    def __init__(self, events: asyncio.StreamReader, frames: asyncio.StreamWriter) -> None:
        self._events, self._frames = events, frames

    @property
    def is_alive(self) -> bool:
        return not self._events.at_eof()

    async def configure(self, configuration: Configuration) -> None:
        await self._send(protocol.configure(configuration))

    async def feed(self, audio: bytes) -> None:
        await self._send(protocol.frame(Kind.AUDIO, audio))

    async def force(self) -> None:
        await self._send(protocol.frame(Kind.FORCE))

    async def hear(self) -> Heard | None:
        """The next event; None when the process has exited."""
        try:
            line = await self._events.readline()
        except ConnectionError:  # it died with audio unread, or before some was written
            return None
        return Heard.of(line) if line else None

    def end_audio(self) -> None:
        """End the audio: the last turn is decoded, then the events end."""
        self._frames.write_eof()

    async def close(self) -> None:
        """Close at once, without the audio that a slow recogniser has not taken."""
        self._frames.transport.abort()
        with suppress(ConnectionError):
            await self._frames.wait_closed()

    async def _send(self, data: bytes) -> None:
        """Write, and wait for buffer space, so that a slow recogniser slows its caller instead of filling memory."""
        try:
            self._frames.write(data)
            await self._frames.drain()
        except ConnectionError as error:
            raise RecogniserFailed("the recogniser process is gone") from error


class Forks:
    """Starts recognisers.

    Args:
        words: What they take every utterance for; empty: they recognise them.
    """

    def __init__(self, words: str = "") -> None:
        self._arguments = [words] if words else []
        self._process: asyncio.subprocess.Process | None = None
        self._passing: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def ear(self) -> Ear:
        """A recogniser that is ready.

        Raises:
            RecogniserFailed: It was not ready in time, or the process that forks it died.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._pass(theirs)
        except BaseException:
            ours.close()
            raise
        ear = Ear(*await asyncio.open_connection(sock=ours))
        is_ready = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(READY_S):
                    is_ready = await ear.hear() is not None
        finally:
            if not is_ready:
                await ear.close()
        if not is_ready:
            raise RecogniserFailed("no recogniser started; its error is in the sandbox's log")
        return ear

    async def close(self) -> None:
        """End the process; recognisers end with their sessions."""
        async with self._starting:
            await self._end()

    async def _pass(self, theirs: socket.socket) -> None:
        """Send the recogniser's end of its connection to the process that forks."""
        async with self._starting:
            if self._process is None or self._process.returncode is not None:
                await self._start()
        assert self._passing is not None
        try:
            socket.send_fds(self._passing, [b"."], [theirs.fileno()])
        except OSError as error:
            raise RecogniserFailed("the process that forks recognisers is gone") from error

    async def _start(self) -> None:
        await self._end()
        self._passing, theirs = socket.socketpair()
        self._passing.setblocking(False)
        with theirs:
            command = (sys.executable, "-m", "sandbox.speech.recogniser", *self._arguments)
            self._process = await asyncio.create_subprocess_exec(*command, stdin=theirs.fileno())

    async def _end(self) -> None:
        if self._passing is not None:
            self._passing.close()
            self._passing = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None
