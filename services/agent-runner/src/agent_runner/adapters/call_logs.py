"""Carries each session's log lines into Redis, `agent:{id}:logs`, where the read model has the last 100 of them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis import logs

KEPT_LINES: Final = 100
_LOOK_S: Final = 1.0
_REDIS_S: Final = 1.0
_AWAY_S: Final = 5.0  # a Redis that is down is not asked again for so long
_CHUNK: Final = 64 * 1024
_MAX_LINE: Final = 2000
_TTL_S: Final = 24 * 3600

log = logs.get_logger(__name__)


@dataclass
class _Tail:
    file: Path
    offset: int
    followers: int = 1
    rest: bytes = b""
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=KEPT_LINES))

    def read(self) -> None:
        """Take in what was written since; of a flood only the end is kept."""
        try:
            with self.file.open("rb") as file:
                size = file.seek(0, 2)
                if size - self.offset > _CHUNK:
                    self.offset, self.rest = size - _CHUNK, b""
                file.seek(self.offset)
                data = file.read(_CHUNK)
        except OSError:  # not there yet
            return
        self.offset += len(data)
        *whole, self.rest = (self.rest + data).split(b"\n")
        if len(self.rest) > _MAX_LINE:
            whole.append(self.rest)
            self.rest = b""
        self.lines.extend(line.decode(errors="replace")[:_MAX_LINE] for line in whole if line)


class RedisCallLogs:
    """Best effort: a Redis that is slow, full or away costs lines, and never a call anything."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=_REDIS_S, socket_connect_timeout=_REDIS_S
        )
        self._tails: dict[str, _Tail] = {}
        self._is_away = False

    def follow(self, session_id: str, file: Path) -> None:
        """Begin at the file's present end: a session that comes back to this node appends to its file."""
        if session_id in self._tails:
            self._tails[session_id].followers += 1
            return
        self._tails[session_id] = _Tail(file, file.stat().st_size if file.exists() else 0)

    def leave(self, session_id: str) -> None:
        """Carry over the rest at the next look, then let the key expire in a day."""
        if session_id in self._tails:
            self._tails[session_id].followers -= 1

    def waiting(self, session_id: str) -> list[str]:
        """The lines that Redis has not got yet, 100 at most."""
        tail = self._tails.get(session_id)
        return [] if tail is None else list(tail.lines)

    async def run(self) -> None:
        """Carry lines over, for ever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            if not await self.carry():
                await asyncio.sleep(_AWAY_S)

    async def carry(self) -> bool:
        """One look at all files; False when Redis did not take the lines."""
        over = [session_id for session_id, tail in self._tails.items() if tail.followers <= 0]
        for tail in self._tails.values():
            tail.read()
        full = {session_id: tail for session_id, tail in self._tails.items() if tail.lines}
        taken = True
        if full or over:
            taken = await self._push({session_id: list(tail.lines) for session_id, tail in full.items()}, over)
        if taken:
            for tail in full.values():
                tail.lines.clear()
        for session_id in over:  # also when Redis did not take it: what is over is not kept
            del self._tails[session_id]
        return taken

    async def close(self) -> None:
        """Carry over what is left and disconnect."""
        await self.carry()
        await self._redis.aclose()

    async def _push(self, lines: dict[str, list[str]], over: list[str]) -> bool:
        pipe: Any = self._redis.pipeline(transaction=False)
        for session_id, new in lines.items():
            pipe.rpush(key(session_id), *new)
            pipe.ltrim(key(session_id), -KEPT_LINES, -1)
        for session_id in over:
            pipe.expire(key(session_id), _TTL_S)
        try:
            async with asyncio.timeout(2 * _REDIS_S):
                await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            if not self._is_away:
                log.warning("call_logs.redis_unavailable", error=str(error) or type(error).__name__)
            self._is_away = True
            return False
        self._is_away = False
        return True


def key(session_id: str) -> str:
    """The read model's key."""
    return f"agent:{session_id}:logs"
