"""Bytes that the peer of a connection has not acknowledged: in the buffer of the process and in the kernel's."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
_INT: Final = struct.Struct("i")


# 64 KiB carry 1 MB/s over 60 ms; by default the kernel buffers megabytes for a client that reads slowly or never.
_SEND_BUFFER: Final = 64 * 1024


class UnreadWatch:
    """Cuts a connection whose client acknowledges nothing for `idle_s`: its unread data occupies our memory."""

    def __init__(
        self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, idle_s: float, on_cut: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._loop = loop
        self._idle_s = idle_s
        self._on_cut = on_cut
        self._written = 0
        self._timer: asyncio.TimerHandle | None = None

    def wrote(self, size: int) -> None:
        """Count written bytes, and watch until the client has acknowledged them."""
        self._written += size
        self.start()

    def start(self) -> None:
        if self._timer is None:
            self._look_later()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        unread = unread_bytes(self._transport)
        self._timer = self._loop.call_later(self._idle_s, self._look, self._written - unread) if unread else None

    def _look(self, acknowledged_before: int) -> None:
        unread = unread_bytes(self._transport)
        if unread == 0 or self._written - unread != acknowledged_before:
            self._look_later()
            return
        self._on_cut()
        cut(self._transport)


def bound_unread(listener: socket.socket, idle_s: float) -> None:
    """Limit the send buffer of each accepted connection, and how long unacknowledged data outlives our close."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel without the option uses its longer default
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(idle_s * 1000))


def unread_bytes(transport: asyncio.Transport) -> int:
    """Bytes written but not acknowledged; the kernel's share is 0 where the platform does not report it."""
    return transport.get_write_buffer_size() + _in_kernel(transport)


def cut(transport: asyncio.Transport) -> None:
    """Close with a reset, which also discards the send buffer of the kernel."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # the socket is closed already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _in_kernel(transport: asyncio.Transport) -> int:
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    try:
        (size,) = _INT.unpack(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    except (OSError, ValueError):  # ValueError: a closed socket has no file descriptor
        return 0
    return int(size)
