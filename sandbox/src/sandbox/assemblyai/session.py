"""One streaming session: audio in, turns out."""

import asyncio
import json
import time
import uuid
from typing import Any

from starlette.websockets import WebSocketDisconnect

from sandbox.assemblyai import messages
from sandbox.assemblyai.messages import BadParameter, Parameters
from sandbox.faults import Fault
from sandbox.speech.forks import Ear, RecogniserFailed
from sandbox.speech.protocol import Configuration, Heard, Word
from sandbox.wire import Line, json_object

SESSION_S = 3 * 3600
SHORTEST_CHUNK_MS, LONGEST_CHUNK_MS = 50, 1000
# Audio may be this far ahead of real time; beyond it the service refuses it as too fast.
LONGEST_LEAD_S = 60.0
LAST_TURN_S = 10.0
TAIL_MS = 400
"""Speech that goes on so soon after the last scripted transcript belongs to it: a hole in the audio has divided it."""


class SessionRefused(Exception):
    """The client violated the protocol: close code and the service's text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Session:
    """Reads the client and the recogniser until one of them ends."""

    def __init__(self, line: Line, ear: Ear, parameters: Parameters) -> None:
        self._line, self._ear, self._parameters = line, ear, parameters
        self._forced_at: float | None = None
        self._began = time.monotonic()
        self._audio_s = 0.0
        self._short_ms: float | None = None
        self._turn = 0
        self._struck: list[Fault] | None = None  # the faults of the turn; None: not decided yet
        self._scripted_until_ms = 0

    async def run(self) -> None:
        """Serve until the client terminates or disconnects, the session expires, or the protocol is violated."""
        # At once, as AssemblyAI does: on a busy machine the recogniser takes seconds.
        await self._line.answer(messages.begin(str(uuid.uuid4()), int(time.time()) + SESSION_S))
        await self._ear.configure(self._configuration())
        reading, listening = asyncio.create_task(self._read()), asyncio.create_task(self._listen())
        try:
            await self._read_while_heard(reading, listening)
            self._ear.end_audio()
            async with asyncio.timeout(LAST_TURN_S):
                await listening
            await self._line.answer(messages.termination(self._audio_s, time.monotonic() - self._began))
            await self._line.close(1000)
        except SessionRefused as refused:
            await self._line.fail(refused.code, refused.text)
        except TimeoutError:
            await self._line.fail(messages.EXPIRED, "Session Expired: Maximum session duration exceeded")
        except RecogniserFailed:
            await self._line.fail(messages.SERVER_ERROR, "Session Cancelled: An error occurred")
        except WebSocketDisconnect:
            pass
        finally:
            reading.cancel()
            listening.cancel()
            await asyncio.gather(reading, listening, return_exceptions=True)

    @staticmethod
    async def _read_while_heard(reading: asyncio.Task[None], listening: asyncio.Task[None]) -> None:
        """Read until the client is done; a recogniser that ends before has failed."""
        async with asyncio.timeout(SESSION_S):
            await asyncio.wait({reading, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            await listening  # raises what it failed with
            raise RecogniserFailed("the recogniser process is gone")
        await reading

    def _configuration(self) -> Configuration:
        silence_ms = max(self._parameters.turn_silence_ms, self._line.stage.settings.turn_silence_ms)
        return Configuration(self._parameters.sample_rate, self._parameters.encoding, silence_ms)

    async def _read(self) -> None:
        """Read the client's messages until it terminates."""
        while True:
            message = await self._line.socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            if (audio := message.get("bytes")) is not None:
                await self._take_audio(audio)
            elif await self._take_text(message.get("text") or ""):
                return

    async def _take_audio(self, audio: bytes) -> None:
        self._refuse_a_short_chunk()
        size = messages.BYTES_PER_SAMPLE[self._parameters.encoding]
        chunk_ms = len(audio) / size / self._parameters.sample_rate * 1000
        if chunk_ms > LONGEST_CHUNK_MS:
            self._refuse_duration(chunk_ms)
        # The last chunk of a session may be short, so a short one is an error only when more audio follows.
        self._short_ms = chunk_ms if chunk_ms < SHORTEST_CHUNK_MS else None
        self._audio_s += chunk_ms / 1000
        if (elapsed := time.monotonic() - self._began) + LONGEST_LEAD_S < self._audio_s:
            text = f"Received {self._audio_s:.1f} sec. audio in {elapsed:.1f} sec"
            raise SessionRefused(messages.DURATION, f"Audio Transmission Rate Exceeded: {text}")
        await self._ear.feed(audio)

    def _refuse_a_short_chunk(self) -> None:
        if self._short_ms is not None:
            self._refuse_duration(self._short_ms)

    @staticmethod
    def _refuse_duration(chunk_ms: float) -> None:
        expected = f"Expected between {SHORTEST_CHUNK_MS} and {LONGEST_CHUNK_MS} ms"
        raise SessionRefused(messages.DURATION, f"Input duration violation: {chunk_ms:g} ms. {expected}")

    async def _take_text(self, text: str) -> bool:
        """Handle a control message; True when it ends the session."""
        try:
            message = json_object(json.loads(text))
        except ValueError:
            raise SessionRefused(messages.INVALID, f"Invalid JSON: {text[:60]}") from None
        if message is None or "type" not in message:
            raise SessionRefused(messages.INVALID, f"Invalid Message: {text[:60]}")
        match message["type"]:
            case "Terminate":
                return True
            case "ForceEndpoint":
                self._forced_at = time.monotonic()
                await self._ear.force()
            case "UpdateConfiguration":
                await self._update(message)
            case "KeepAlive":
                pass
            case other:
                raise SessionRefused(messages.INVALID, f"Invalid Message Type: {str(other)[:60]}")
        return False

    async def _update(self, message: dict[str, Any]) -> None:
        """Formatting and silences apply at once; other fields, such as agent_context, are only stored for tests."""
        self._line.stage.traffic.keep("assemblyai", "UpdateConfiguration", message)
        try:
            self._parameters = self._parameters.updated(message)
        except BadParameter as bad:
            raise SessionRefused(messages.INVALID, str(bad)) from None
        await self._ear.configure(self._configuration())

    async def _listen(self) -> None:
        """Convert the recogniser's events into messages until it ends."""
        while (heard := await self._ear.hear()) is not None:
            match heard.event:
                case "started":
                    await self._line.answer(messages.speech_started(heard.at_ms))
                case "partial" if heard.words and not self._is_tail(heard) and not self._faults():
                    words = self._scripted(heard) or heard.words
                    await self._line.answer(messages.turn(self._turn, words, final=False, formatted=False))
                case "final":
                    await self._finish_turn(heard, () if self._is_tail(heard) else heard.words)
                case "idle":
                    await self._finish_turn(heard, ())
                case _:
                    pass

    def _scripted(self, heard: Heard) -> tuple[Word, ...]:
        """As many words of the coming scripted transcript as were heard."""
        scripted = self._line.stage.script.coming_transcript or ""
        return _placed(scripted, heard.at_ms)[: len(heard.words)]

    def _is_tail(self, heard: Heard) -> bool:
        """Whether a scripted transcript stands for these words already."""
        is_scripted = self._line.stage.script.coming_transcript is not None
        return bool(heard.words) and not is_scripted and heard.words[0].start_ms < self._scripted_until_ms

    def _faults(self) -> list[Fault]:
        """The faults that withhold this turn's words, or the partial ones."""
        if self._struck is None:
            self._struck = self._line.stage.faults.take("assemblyai", "words", self._line.about)
        return self._struck

    async def _finish_turn(self, heard: Heard, words: tuple[Word, ...]) -> None:
        """Send the end of a turn, unless no word was recognised and none is scripted, or a fault withholds them."""
        has_words = bool(words or self._line.stage.script.coming_transcript)
        faults, self._struck = self._faults() if has_words else [], None
        if any(fault.kind == "unheard" for fault in faults):
            return
        scripted = self._line.stage.script.next_transcript()
        if scripted is not None:
            words = _placed(scripted, heard.at_ms)
            self._scripted_until_ms = heard.at_ms + TAIL_MS
        ended_at, self._forced_at = self._forced_at or time.monotonic(), None
        if not words:
            return
        late_ms = self._line.stage.settings.stt_final_ms + sum(fault.latency_ms for fault in faults)
        await asyncio.sleep(ended_at + late_ms / 1000 - time.monotonic())
        order, self._turn = self._turn, self._turn + 1
        if not self._parameters.is_u3_pro:
            await self._line.answer(messages.turn(order, words, final=True, formatted=False))
            if not self._parameters.format_turns:
                return
        await self._line.answer(messages.turn(order, words, final=True, formatted=True))


def _placed(text: str, end_ms: int, word_ms: int = 250) -> tuple[Word, ...]:
    """A scripted transcript's words with times, as if spoken evenly until `end_ms`."""
    words = text.split()
    start = max(0, end_ms - word_ms * len(words))
    return tuple(Word(word, start + i * word_ms, start + (i + 1) * word_ms, 1.0) for i, word in enumerate(words))
