"""What a connection's peer has not taken yet: in the process's buffer and in the kernel's."""

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


# The kernel would keep megabytes for a client that reads slowly or not at all; this is enough for 1 MB/s over 60 ms.
_SEND_BUFFER: Final = 64 * 1024


def bound_unread(listener: socket.socket, idle_s: float) -> None:
    """Bound what the kernel keeps for each connection of this listener, and for how long once we have closed it."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a kernel without it keeps its own, longer time
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(idle_s * 1000))


def unread_bytes(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the peer has not acknowledged; without the kernel's where it does not tell."""
    return transport.get_write_buffer_size() + _in_kernel(transport)


def cut(transport: asyncio.Transport) -> None:
    """Close at once with a reset: the kernel, too, gives up what it has to send."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with contextlib.suppress(OSError):  # it is gone already
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()


def _in_kernel(transport: asyncio.Transport) -> int:
    connection = transport.get_extra_info("socket")
    if connection is None:
        return 0
    try:
        (size,) = _INT.unpack(fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    except (OSError, ValueError):  # the latter: it is closed, and has no number any more
        return 0
    return int(size)
