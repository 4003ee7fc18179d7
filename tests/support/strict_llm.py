"""A server with OpenAI's chat completions that refuses each field outside the documented ones."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

FIELDS: Final = frozenset({"model", "messages", "stream", "max_tokens", "temperature", "top_p"})
"""What docs/conversation.md says is sent without more settings and without tools."""


class StrictServer:
    """Its requests, their keys, and its address.

    Attributes:
        status: Not 200: it refuses all requests, with the message `refusal`.
        models: All that it has, if it is not empty.
        page: What it answers instead of each answer.
    """

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.url = ""
        self.fields = FIELDS
        self.status = 200
        self.refusal = "no"
        self.models: set[str] = set()
        self.page = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.keys.append(headers.get("authorization", ""))
        status, kind, text = self._answered(json.loads(body or b"{}"), head.split()[1])
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(text)}\r\n".encode())
        writer.write(f"Connection: close\r\n\r\n{text}".encode())
        await writer.drain()
        writer.close()

    def _answered(self, body: dict[str, Any], path: str) -> tuple[int, str, str]:
        if self.status != 200:
            return self.status, "application/json", json.dumps({"error": {"message": self.refusal}})
        if path.endswith("/models"):
            return 200, "application/json", json.dumps({"object": "list", "data": []})
        if self.page:
            return 200, "text/html", self.page
        if self.models and body["model"] not in self.models:
            return 404, "application/json", json.dumps({"error": {"message": "no model"}})
        self.asked.append(body)
        if unknown := sorted(body.keys() - self.fields):
            return 400, "application/json", json.dumps({"error": {"message": f"unknown fields: {unknown}"}})
        if not body.get("stream"):
            message = {"role": "assistant", "content": "I am fine."}
            choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": "stop"}
            return 200, "application/json", json.dumps(_about("chat.completion") | {"choices": [choice]})
        choices: list[dict[str, Any]] = [
            {"index": 0, "delta": {"content": "I am fine."}, "finish_reason": None},
            {"index": 0, "delta": {}, "finish_reason": "stop"},
        ]
        chunks = [json.dumps(_about("chat.completion.chunk") | {"choices": [choice]}) for choice in choices]
        return 200, "text/event-stream", "".join(f"data: {chunk}\n\n" for chunk in [*chunks, "[DONE]"])


def _about(kind: str) -> dict[str, Any]:
    return {"id": "1", "object": kind, "created": 1, "model": "any"}


@asynccontextmanager
async def strict_server() -> AsyncGenerator[StrictServer]:
    strict = StrictServer()
    async with await asyncio.start_server(strict.answer, "127.0.0.1", 0) as server:
        strict.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield strict
