"""Transcribes what the caller hears: AssemblyAI's v3 streaming endpoint, fed in real time."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from chassis.errors import text_of
from chassis.tasks import Tasks, cancel
from greenroom_cli.call.audio import RATE, Samples
from greenroom_cli.errors import CommandError

MODEL = "universal-streaming-english"
CHUNK_SAMPLES = RATE // 20  # 50 ms, the endpoint's minimum
QUEUE_CHUNKS = 200  # 10 s
OPEN_S, CLOSE_S = 10.0, 10.0
CHECK = "check ASSEMBLY_API_KEY and ASSEMBLY_BASE_URL with: greenroom doctor"


@dataclass(frozen=True)
class Heard:
    """One finished turn: its words and its time in the sent audio, in ms."""

    text: str
    start_ms: int
    end_ms: int


class Transcriber:
    """One streaming session. Feed it, and read `heard`; `finish` waits for the last turns."""

    def __init__(self, socket: ClientConnection, on_heard: Callable[[Heard], None] | None) -> None:
        self.heard: list[Heard] = []
        self.fault: str | None = None
        self._socket = socket
        self._on_heard = on_heard
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue(QUEUE_CHUNKS)
        self._pending = b""
        tasks = Tasks()
        self._sending = tasks.spawn(self._send())
        self._receiving = tasks.spawn(self._receive())

    @classmethod
    async def connect(cls, host: str, api_key: str, on_heard: Callable[[Heard], None] | None = None) -> "Transcriber":
        """Raises `CommandError` when the endpoint does not answer or refuses the key."""
        query = urlencode({"sample_rate": RATE, "encoding": "pcm_s16le", "format_turns": "true", "speech_model": MODEL})
        url = f"{host}/v3/ws"
        try:
            socket = await connect(
                f"{url}?{query}", additional_headers={"Authorization": api_key}, open_timeout=OPEN_S, max_queue=64
            )
        except InvalidStatus as error:
            raise CommandError(f"{url} refused the connection: {error.response.status_code}", CHECK) from None
        except (OSError, TimeoutError, WebSocketException) as error:
            raise CommandError(f"no transcription from {url}: {text_of(error)}", CHECK) from None
        return cls(socket, on_heard)

    def feed(self, samples: Samples) -> None:
        """Add audio, in real time. After a fault it is dropped."""
        self._pending += samples.tobytes()
        size = CHUNK_SAMPLES * 2
        while len(self._pending) >= size:
            with contextlib.suppress(asyncio.QueueFull):  # only when the socket is stuck; `fault` reports it
                self._chunks.put_nowait(self._pending[:size])
            self._pending = self._pending[size:]

    def between(self, start_ms: int, end_ms: int) -> str:
        """The words of the turns whose middle lies in this part of the audio."""
        return " ".join(turn.text for turn in self.heard if start_ms <= (turn.start_ms + turn.end_ms) // 2 < end_ms)

    async def end_audio(self) -> None:
        """Signal the end of the audio, and wait for the last turns.

        Raises:
            CommandError: The endpoint failed before, or does not answer.
        """
        with contextlib.suppress(asyncio.QueueFull):
            self._chunks.put_nowait(None)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._receiving
        except TimeoutError:
            self.fault = self.fault or f"no answer to Terminate within {CLOSE_S:g} s"
        await self.close()
        if self.fault:
            raise CommandError(f"the transcription broke off: {self.fault}", CHECK)

    async def close(self) -> None:
        await cancel(self._sending, self._receiving)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._socket.close()

    async def _send(self) -> None:
        with contextlib.suppress(ConnectionClosed):  # the receiver reports the reason
            while (chunk := await self._chunks.get()) is not None:
                await self._socket.send(chunk)
            await self._socket.send(json.dumps({"type": "Terminate"}))

    async def _receive(self) -> None:
        try:
            async for message in self._socket:
                event: dict[str, Any] = json.loads(message)
                match event.get("type"):
                    case "Turn" if event["end_of_turn"] and event["turn_is_formatted"]:
                        self._take(event)
                    case "Error":
                        self.fault = f"{event.get('error_code')} {event.get('error')}"
                        return
                    case "Termination":
                        return
                    case _:
                        continue
            self.fault = "the connection was closed"
        except ConnectionClosed as error:
            self.fault = f"the connection was closed: {error}"
        except (ValueError, KeyError, TypeError):
            self.fault = "it sent an invalid event"

    def _take(self, event: dict[str, Any]) -> None:
        words = event["words"]
        if not words or not event["transcript"]:
            return
        turn = Heard(event["transcript"], int(words[0]["start"]), int(words[-1]["end"]))
        self.heard.append(turn)
        if self._on_heard:
            self._on_heard(turn)
