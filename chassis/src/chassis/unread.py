"""Bytes that the peer of a connection has not acknowledged: in the buffer of the process and in the kernel's."""

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
_INT: Final = struct.Struct("i")


# 64 KiB carry 1 MB/s over 60 ms; by default the kernel buffers megabytes for a client that reads slowly or never.
_SEND_BUFFER: Final = 64 * 1024


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
