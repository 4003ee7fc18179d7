"""The bidirectional WebSocket: contexts that receive text and send audio."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocketDisconnect

from sandbox.inworld.order import EXHAUSTED, INVALID, NOT_FOUND, Order, OrderRefused, order
from sandbox.inworld.speech import Utterance, chunks, ends_a_sentence, utterance
from sandbox.wire import Line, json_object

MOST_CONTEXTS = 5
LONGEST_SENT = 1_000
IDLE_S = 600.0


@dataclass
class Context:
    """Text that is not spoken yet, and the monotonic time since which it waits."""

    order: Order
    waiting: str = ""
    since: float = 0.0
    started: bool = False

    @property
    def due_at(self) -> float | None:
        return self.since + self.order.max_buffer_delay_ms / 1000 if self.waiting else None

    def take(self, text: str) -> bool:
        """Add text; True when it should be spoken now: a whole sentence in auto mode, or more than the threshold."""
        if text and not self.waiting:
            self.since = time.monotonic()
        self.waiting += text
        enough = len(self.waiting) >= self.order.buffer_char_threshold
        return bool(self.waiting) and (enough or (self.order.auto_mode and ends_a_sentence(self.waiting)))


class Conversation:
    """One connection: at most five contexts, spoken in the order of their requests."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._contexts: dict[str, Context] = {}

    async def run(self) -> None:
        """Serve until the client disconnects or is idle for ten minutes."""
        while True:
            try:
                async with asyncio.timeout(self._patience()):
                    message = await self._line.socket.receive()
            except TimeoutError:
                if self._waits():
                    await self._speak_what_is_due()
                    continue
                await self._line.close(1000, "idle")
                return
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message.get("code", 1006))
            await self._take(message.get("text") or "")

    def _waits(self) -> bool:
        return any(context.waiting for context in self._contexts.values())

    def _patience(self) -> float:
        """Seconds until the oldest text must be spoken, at least a millisecond; without text the idle timeout."""
        due = [at for context in self._contexts.values() if (at := context.due_at) is not None]
        return max(0.001, min(due) - time.monotonic()) if due else IDLE_S

    async def _speak_what_is_due(self) -> None:
        now = time.monotonic()
        due = [name for name, context in self._contexts.items() if (at := context.due_at) is not None and at <= now]
        for name in due:
            await self._speak(name, self._contexts[name])

    async def _take(self, text: str) -> None:
        name: str | None = None
        try:
            message = json_object(json.loads(text))
            if message is None:
                raise OrderRefused(INVALID, "a message must be a JSON object")
            given = message.get("contextId") or message.get("context_id")
            name = given if isinstance(given, str) else None
            await self._act(name, message)
        except ValueError:
            await self._refuse(name, OrderRefused(INVALID, "invalid JSON"))
        except OrderRefused as refused:
            await self._refuse(name, refused)

    async def _act(self, name: str | None, message: Mapping[str, Any]) -> None:
        if not name:
            raise OrderRefused(INVALID, "context_id is required")
        match message:
            case {"create": body}:
                await self._create(name, body)
            case {"send_text": {"text": str(text)}}:
                await self._add(name, text)
            case {"flush_context": _}:
                await self._flush(name, self._context(name))
            case {"close_context": _}:
                await self._close(name, self._context(name))
            case _:
                raise OrderRefused(INVALID, f"unknown message: {', '.join(sorted(message))[:100]}")

    def _context(self, name: str) -> Context:
        if name not in self._contexts:
            raise OrderRefused(NOT_FOUND, f"Context {name} not found")
        return self._contexts[name]

    async def _create(self, name: str, body: Any) -> None:
        self._line.stage.traffic.keep("inworld", "create", body)
        if name in self._contexts:
            raise OrderRefused(INVALID, f"Context {name} already exists")
        if len(self._contexts) >= MOST_CONTEXTS:
            raise OrderRefused(EXHAUSTED, f"Maximum number of contexts per connection ({MOST_CONTEXTS}) exceeded")
        found = order(body)
        self._contexts[name] = Context(found)
        created = {"voiceId": found.voice_id, "modelId": found.model_id}
        await self._line.send(_result(name, {"contextCreated": created}))

    async def _add(self, name: str, text: str) -> None:
        self._line.stage.traffic.text(text)
        if len(text) > LONGEST_SENT:
            raise OrderRefused(INVALID, f"text exceeds the maximum length of {LONGEST_SENT} characters")
        context = self._context(name)
        for fault in self._line.stage.faults.take("inworld", "text", self._line.about) if text else ():
            raise OrderRefused(INVALID, fault.reason or "the text cannot be spoken")
        self._line.stage.traffic.keep("inworld", "send_text", {"text": text})
        if context.take(text):
            await self._speak(name, context)

    async def _flush(self, name: str, context: Context) -> None:
        if context.waiting:
            await self._speak(name, context)
        else:
            await self._line.answer(_result(name, {"flushCompleted": {}}))

    async def _close(self, name: str, context: Context) -> None:
        if context.waiting:
            await self._speak(name, context)
        del self._contexts[name]
        await self._line.answer(_result(name, {"contextClosed": {}}))

    async def _speak(self, name: str, context: Context) -> None:
        """Speak the waiting text: its chunks, then the end of the generation."""
        text, context.waiting = context.waiting, ""
        self._line.stage.traffic.count("inworld", "generation")
        spoken = await asyncio.to_thread(utterance, self._line.stage.voice, context.order, text)
        if self._line.stage.faults.take("inworld", "thought", self._line.about):
            spoken = Utterance(b"", spoken.sample_rate, ())
        if not context.started:
            context.started = True
            await asyncio.sleep(self._line.stage.settings.tts_first_audio_ms / 1000)
        for chunk in chunks(context.order, spoken):
            await self._line.answer(_result(name, {"audioChunk": chunk}))
        await self._line.answer(_result(name, {"flushCompleted": {}}))

    async def _refuse(self, name: str | None, refused: OrderRefused) -> None:
        status: dict[str, Any] = {"code": refused.code, "message": refused.message, "details": []}
        await self._line.send({"result": {**({"contextId": name} if name else {}), "status": status}})


def _result(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    return {"result": {"contextId": name, "status": {"code": 0, "message": "", "details": []}, **content}}


def error(code: int, text: str) -> Mapping[str, Any]:
    """The service's message before it closes the connection."""
    return {"error": {"code": code, "message": text, "details": []}}
