"""Recogniser processes: some wait warm, each serves one session, and none outlives the sandbox."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sandbox.speech import protocol
from sandbox.speech.protocol import Configuration, Heard, Kind

READY_S = 20.0
# A new process imports for 0.1 s; if another one waits, the import begins after the call's start.
REFILL_AFTER_S = 1.0


log = logging.getLogger(__name__)


class TooManySessions(Exception):
    """The limit of concurrent recognisers is reached."""


class RecogniserFailed(RuntimeError):
    """A recogniser process did not start, or died."""


class Ear:
    """One session's recogniser process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._input, self._output = process, process.stdin, process.stdout

    @classmethod
    async def start(cls, words: str = "") -> "Ear":
        """Start a process and wait until its models are loaded.

        Args:
            words: What it takes every utterance for; empty: it recognises them.

        Raises:
            RecogniserFailed: It was not ready in time.
        """
        command = (sys.executable, "-m", "sandbox.speech.recogniser", *([words] if words else []))
        pipe = asyncio.subprocess.PIPE
        ear = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
        try:
            async with asyncio.timeout(READY_S):
                if await ear.hear() is not None:
                    return ear
        except BaseException:
            await ear.kill()
            raise
        await ear.kill()
        raise RecogniserFailed("the recogniser process ended while it started; its error is in the sandbox's log")

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def configure(self, configuration: Configuration) -> None:
        await self._send(protocol.configure(configuration))

    async def feed(self, audio: bytes) -> None:
        await self._send(protocol.frame(Kind.AUDIO, audio))

    async def force(self) -> None:
        await self._send(protocol.frame(Kind.FORCE))

    async def hear(self) -> Heard | None:
        """The next event; None when the process has exited."""
        line = await self._output.readline()
        return Heard.of(line) if line else None

    def end_audio(self) -> None:
        """End the audio: the last turn is decoded, then the events end."""
        self._input.close()

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _send(self, data: bytes) -> None:
        """Write, and wait for buffer space, so that a slow recogniser slows its caller instead of filling memory."""
        try:
            self._input.write(data)
            await self._input.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise RecogniserFailed("the recogniser process is gone") from error


class EarPool:
    """Lends recognisers.

    Args:
        warm: How many wait.
        limit: The most concurrent sessions.
        words: What they take every utterance for; empty: they recognise them.
    """

    def __init__(self, warm: int, limit: int, words: str = "") -> None:
        self._words = words
        self._warm, self._limit = min(warm, limit), limit
        self._waiting: list[Ear] = []
        self._in_use = 0
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    async def fill(self, *, after_s: float = 0.0) -> None:
        """Start processes until enough wait; if one waits, the first starts after `after_s` seconds."""
        if self._waiting:
            await asyncio.sleep(after_s)
        while len(self._waiting) < self._warm and not self._closed:
            self._waiting.append(await Ear.start(self._words))

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[Ear]:
        """A recogniser for one session; it is stopped afterwards.

        Raises:
            TooManySessions: The limit is reached.
            RecogniserFailed: No process could be started.
        """
        if self._in_use >= self._limit:
            raise TooManySessions
        self._in_use += 1
        ear: Ear | None = None
        try:
            ear = self._waiting_one() or await Ear.start(self._words)
            self._refill()
            yield ear
        finally:
            try:
                if ear is not None:
                    await asyncio.shield(ear.kill())
            finally:
                self._in_use -= 1

    def _waiting_one(self) -> Ear | None:
        """A waiting process that is alive."""
        while self._waiting:
            if (ear := self._waiting.pop()).is_alive:
                return ear
        return None

    def _refill(self) -> None:
        if self._filling is None or self._filling.done():
            self._filling = asyncio.create_task(self.fill(after_s=REFILL_AFTER_S))
            self._filling.add_done_callback(_report)

    async def close(self) -> None:
        """Stop every waiting process; the others end with their sessions.

        It waits for a process that is starting: a cancelled start would leave the process running.
        """
        self._closed = True
        if self._filling is not None:
            await asyncio.gather(self._filling, return_exceptions=True)
        await asyncio.gather(*(ear.kill() for ear in self._waiting))
        self._waiting.clear()


def _report(filling: asyncio.Task[None]) -> None:
    """Log why no recogniser waits: the next session starts its own, later."""
    if not filling.cancelled() and (error := filling.exception()) is not None:
        log.error("no recogniser waits for the next session", exc_info=error)
