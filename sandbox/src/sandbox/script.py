"""Scripted transcripts and replies, which tests queue instead of real ones."""

from collections import deque
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

LONGEST_QUEUE = 200


class ToolCall(BaseModel):
    """A call of a tool with its arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    arguments: dict[str, Any] = Field(default_factory=dict)


class Reply(BaseModel):
    """The model's next reply: text, or calls of tools, after `reasoning_tokens` (null: as the settings say)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(default="", max_length=20_000)
    tool_calls: tuple[ToolCall, ...] = Field(default=(), max_length=16)
    reasoning_tokens: int | None = Field(default=None, ge=0, le=100_000)


class ScriptFull(Exception):
    """The queue would exceed its limit."""


class Script:
    """Two queues: the next final transcripts, and the next replies."""

    def __init__(self) -> None:
        self._transcripts: deque[str] = deque()
        self._replies: deque[Reply] = deque()

    def hear(self, texts: list[str]) -> None:
        """Queue final transcripts.

        Raises:
            ScriptFull: The queue would be longer than `LONGEST_QUEUE`.
        """
        if len(self._transcripts) + len(texts) > LONGEST_QUEUE:
            raise ScriptFull
        self._transcripts.extend(texts)

    def answer(self, replies: list[Reply]) -> None:
        """Queue replies; raises `ScriptFull`."""
        if len(self._replies) + len(replies) > LONGEST_QUEUE:
            raise ScriptFull
        self._replies.extend(replies)

    @property
    def coming_transcript(self) -> str | None:
        """The one that the next final will be."""
        return self._transcripts[0] if self._transcripts else None

    def next_transcript(self) -> str | None:
        return self._transcripts.popleft() if self._transcripts else None

    def next_reply(self) -> Reply | None:
        return self._replies.popleft() if self._replies else None

    def clear(self) -> None:
        self._transcripts.clear()
        self._replies.clear()

    def state(self) -> dict[str, int]:
        return {"transcripts": len(self._transcripts), "replies": len(self._replies)}
