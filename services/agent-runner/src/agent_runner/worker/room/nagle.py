"""Turns Nagle's algorithm off for the signalling socket of LiveKit's SDK, which has no setting for it.

A join sends small messages in a row, so our kernel holds one back until the server's delayed acknowledgement, 40 ms
later (docs/decisions/0007).
"""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from chassis.tasks import Tasks

_LOOK_S: Final = 0.003  # shorter than the server's first answer; only messages after it can be held back
_PORTS: Final = {"ws": 80, "http": 80}


@asynccontextmanager
async def off(url: str) -> AsyncGenerator[None]:
    """Set TCP_NODELAY on the next connection that this process makes to `url` inside the block."""
    turning = Tasks().spawn(_turn_off(_port(url), _sockets()))
    try:
        yield
    finally:
        turning.cancel()


async def _turn_off(port: int, known: set[tuple[int, int]]) -> None:
    while not any(_is_turned_off(fd, port) for fd, _inode in _sockets() - known):  # noqa: ASYNC110 - there is no event to wait for
        await asyncio.sleep(_LOOK_S)


def _sockets() -> set[tuple[int, int]]:
    """(file descriptor, inode) of every socket of this process."""
    found: set[tuple[int, int]] = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            status = os.fstat(fd := int(name))
            if stat.S_ISSOCK(status.st_mode):
                found.add((fd, status.st_ino))
    return found


def _is_turned_off(fd: int, port: int) -> bool:
    """Set TCP_NODELAY on this descriptor; True if it is a connection to that port that lacked it."""
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
