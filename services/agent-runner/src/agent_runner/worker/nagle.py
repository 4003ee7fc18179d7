"""Nagle's algorithm, off: LiveKit's SDK leaves it on for its signalling socket and gives no way to it.

A join is a row of small messages one way, so the answer that the server waits for lies in our kernel until the server's
delayed acknowledgement, 40 ms later.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

_LOOK_S: Final = 0.003  # the server's first answer takes longer, and only what follows it could have to wait
_PORTS: Final = {"ws": 80, "http": 80}


@asynccontextmanager
async def off(url: str) -> AsyncGenerator[None]:
    """Within this the next connection to `url` that this process makes sends small messages at once."""
    turning = asyncio.create_task(_turn_off(_port(url), _sockets()))
    try:
        yield
    finally:
        turning.cancel()


async def _turn_off(port: int, known: set[tuple[int, int]]) -> None:
    while not any(_is_turned_off(fd, port) for fd, _inode in _sockets() - known):  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(_LOOK_S)


def _sockets() -> set[tuple[int, int]]:
    """File descriptor and inode of every socket of this process."""
    found: set[tuple[int, int]] = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            status = os.fstat(fd := int(name))
            if stat.S_ISSOCK(status.st_mode):
                found.add((fd, status.st_ino))
    return found


def _is_turned_off(fd: int, port: int) -> bool:
    """Whether this was a connection to that port, with Nagle's algorithm until now."""
    with suppress(OSError), socket.socket(fileno=os.dup(fd)) as copy:
        if copy.type != socket.SOCK_STREAM or copy.family not in (socket.AF_INET, socket.AF_INET6):
            return False
        if copy.getpeername()[1] == port and not copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY):
            copy.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return True
    return False


def _port(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _PORTS.get(parts.scheme, 443)
