"""Copies each session's log lines into Redis, `agent:{id}:logs`, where the read model has the last 100 of them."""

import asyncio
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError

from chassis import logs
from chassis.errors import text_of

KEPT_LINES: Final = 100
_LOOK_S: Final = 1.0
_REDIS_S: Final = 1.0
_AWAY_S: Final = 5.0  # pause after a failure
_CHUNK: Final = 64 * 1024
_MAX_LINE: Final = 2000
_TTL_S: Final = 24 * 3600

log = logs.get_logger(__name__)

_Errors: TypeAlias = dict[tuple[str, str], Exception]  # by session and command


@dataclass
class _Tail:
    file: Path
    offset: int
    followers: int = 1
    rest: bytes = b""
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=KEPT_LINES))

    def read(self) -> None:
        """Read the new lines; of more than 64 KiB only the end."""
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
    """Best effort: a Redis that is slow, full or unreachable loses lines and never delays a call."""

    def __init__(self, url: str) -> None:
        self._redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url, socket_timeout=_REDIS_S, socket_connect_timeout=_REDIS_S
        )
        self._tails: dict[str, _Tail] = {}
        self._is_away = False

    def follow(self, session_id: str, file: Path) -> None:
        """Begin at the file's current end: a session that comes back to this node appends to its file."""
        if session_id in self._tails:
            self._tails[session_id].followers += 1
            return
        self._tails[session_id] = _Tail(file, file.stat().st_size if file.exists() else 0)

    def leave(self, session_id: str) -> None:
        """Copy the remaining lines at the next look, then let the key expire in a day."""
        if session_id in self._tails:
            self._tails[session_id].followers -= 1

    def waiting(self, session_id: str) -> list[str]:
        """The lines that Redis does not have yet, 100 at most."""
        tail = self._tails.get(session_id)
        return [] if tail is None else list(tail.lines)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            if not await self.carry():
                await asyncio.sleep(_AWAY_S)

    async def carry(self) -> bool:
        """Look at all files once; False: Redis did not take all lines."""
        ended = [session_id for session_id, tail in self._tails.items() if tail.followers <= 0]
        for tail in self._tails.values():
            tail.read()
        lines = {session_id: list(tail.lines) for session_id, tail in self._tails.items() if tail.lines}
        errors = await self._push(lines, ended) if lines or ended else {}
        for session_id in lines:
            if (session_id, "rpush") not in errors:  # per session: lines that are pushed again would be duplicates
                self._tails[session_id].lines.clear()
        for session_id in ended:  # also if Redis refused the lines: an ended session's are not retried
            del self._tails[session_id]
        return not errors

    async def close(self) -> None:
        """Copy the remaining lines and disconnect."""
        await self.carry()
        await self._redis.aclose()

    async def _push(self, lines: dict[str, list[str]], ended: list[str]) -> _Errors:
        errors = await self._send(lines, ended)
        spoilt = {session_id for (session_id, _), error in errors.items() if "WRONGTYPE" in str(error)}
        if spoilt:  # another program wrote another type there
            log.warning("call_logs.no_list", keys=[key(session_id) for session_id in sorted(spoilt)])
            errors = {at: error for at, error in errors.items() if at[0] not in spoilt}
            again = {session_id: lines[session_id] for session_id in spoilt}
            errors |= await self._send(again, [s for s in ended if s in spoilt], delete=spoilt)
        if errors and not self._is_away:
            error = next(iter(errors.values()))
            log.warning("call_logs.redis_unavailable", error=text_of(error))
        self._is_away = bool(errors)
        return errors

    async def _send(self, lines: dict[str, list[str]], ended: list[str], *, delete: Collection[str] = ()) -> _Errors:
        pipe: Any = self._redis.pipeline(transaction=False)
        sent: list[tuple[str, str]] = []
        for session_id in delete:
            pipe.delete(key(session_id))
            sent.append((session_id, "del"))
        for session_id, new in lines.items():
            pipe.rpush(key(session_id), *new)
            pipe.ltrim(key(session_id), -KEPT_LINES, -1)
            sent += [(session_id, "rpush"), (session_id, "ltrim")]
        for session_id in ended:
            pipe.expire(key(session_id), _TTL_S)
            sent.append((session_id, "expire"))
        try:
            async with asyncio.timeout(2 * _REDIS_S):
                answers = await pipe.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            return dict.fromkeys(sent, error)
        return {at: answer for at, answer in zip(sent, answers, strict=True) if isinstance(answer, RedisError)}


def key(session_id: str) -> str:
    return f"agent:{session_id}:logs"
