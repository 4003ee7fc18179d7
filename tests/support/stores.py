"""Everything that the stores hold, as bytes: for a test that looks for words."""

import json
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from chassis.nats import Bus


async def nats_holds(bus: Bus) -> bytes:
    """Every message of every stream and bucket, with its subject and headers."""
    found: list[str] = []
    for info in await bus.js.streams_info():
        name, seq = info.config.name or "", info.state.first_seq
        while info.state.messages and seq <= info.state.last_seq:
            message = await bus.js.get_msg(name, seq=seq, next=True, subject=">")
            body = (message.data or b"").decode(errors="backslashreplace")
            found.append(f"{message.subject} {json.dumps(message.headers or {})} {body}")
            seq = (message.seq or seq) + 1
    return "\n".join(found).encode()


async def redis_holds(url: str) -> bytes:
    """Every key with its value."""
    store: Any = Redis.from_url(url)
    async with store:
        return b"\n".join([key + b" " + await _value(store, key) async for key in store.scan_iter("*", count=1000)])


async def _value(store: Any, key: bytes) -> bytes:
    match await store.type(key):
        case b"hash":
            return b" ".join(part for pair in (await store.hgetall(key)).items() for part in pair)
        case b"set":
            return b" ".join(await store.smembers(key))
        case b"zset":
            return b" ".join(await store.zrange(key, 0, -1))
        case b"list":
            return b" ".join(await store.lrange(key, 0, -1))
        case _:
            return await store.get(key) or b""


def files_hold(*paths: Path) -> bytes:
    """The bytes of these files, and of every file in these folders."""
    files = (file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*"))))
    return b"\n".join(file.read_bytes() for file in files if file.is_file())


def words_in(found: bytes, *words: str) -> set[str]:
    """Those of the words that occur, in any case."""
    lower = found.decode(errors="replace").lower()
    return {word for word in words if word.lower() in lower or json.dumps(word)[1:-1].lower() in lower}
