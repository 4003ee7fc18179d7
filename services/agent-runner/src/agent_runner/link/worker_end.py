"""The worker's end of the link to its supervisor: a SOCK_SEQPACKET socket on the event loop."""

import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from agent_runner.link.messages import (
    MAX_HISTORY_BYTES,
    MAX_PACKET_BYTES,
    Beat,
    Go,
    PacketError,
    ToSupervisor,
    ToWorker,
    Turn,
    Unfinished,
    decode_to_worker,
    encode,
)
from chassis import logs

_MAX_UNSENT: Final = 1000  # messages; a supervisor that far behind has declared this worker dead long before
_MAX_TEXT: Final = 16_000  # characters of each text of a turn: it fits a packet however it is escaped

History = list[dict[str, str]]

log = logs.get_logger(__name__)


class LinkSocket:
    """Sends without blocking: while the socket is full it discards beats and queues all other messages."""

    def __init__(
        self, sock: socket.socket, on_message: Callable[[ToWorker, History], None], on_closed: Callable[[], None]
    ) -> None:
        """Start to listen.

        Args:
            sock: The link takes it over.
            on_message: Called with a message and its history (empty except for a `Go`).
            on_closed: Called once, when the supervisor is gone.
        """
        sock.setblocking(False)
        self._sock = sock
        self._on_message = on_message
        self._on_closed = on_closed
        self._unsent: deque[bytes] = deque()
        self._has_discarded = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._receive)

    def send(self, message: ToSupervisor) -> None:
        """Send, or queue while the socket is full; a full queue discards the message, and logs the first."""
        if isinstance(message, Beat) and self._unsent:
            return
        if isinstance(message, Turn):
            message = _shortened(message)
        elif isinstance(message, Unfinished):
            message = Unfinished(turn=_shortened(message.turn))
        if len(self._unsent) >= _MAX_UNSENT:
            if not self._has_discarded:
                self._has_discarded = True
                log.error("link.full", waiting=len(self._unsent), discarded=message.kind)
            return
        self._unsent.append(encode(message))
        self._flush(droppable=isinstance(message, Beat))

    async def drain(self, timeout_s: float) -> None:
        """Wait until the queue is sent, or `timeout_s` passes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()

    def _flush(self, *, droppable: bool = False) -> None:
        while self._unsent:
            try:
                self._sock.send(self._unsent[0])
            except (BlockingIOError, InterruptedError):
                if droppable:
                    self._unsent.pop()
                    return
                self._empty.clear()
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:  # `_receive` sees the closed socket too and reports it
                self._unsent.clear()
                break
            self._unsent.popleft()
        self._loop.remove_writer(self._sock)
        self._empty.set()

    def _receive(self) -> None:
        try:
            packet, fds, _, _ = socket.recv_fds(self._sock, MAX_PACKET_BYTES + 1, 1)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            packet, fds = b"", []
        if not packet:
            self._loop.remove_reader(self._sock)
            self._on_closed()
            return
        try:
            message = decode_to_worker(packet)
            history = _read_history(fds[0]) if isinstance(message, Go) and message.has_history and fds else []
        except PacketError as error:
            log.error("link.bad_packet", error=str(error))
            return
        finally:
            for fd in fds:
                os.close(fd)
        self._on_message(message, history)


def _read_history(fd: int) -> History:
    """The messages in a memory file.

    Raises:
        PacketError: The file is longer than MAX_HISTORY_BYTES, or not a JSON list of messages.
    """
    data = os.pread(fd, MAX_HISTORY_BYTES + 1, 0)
    if len(data) > MAX_HISTORY_BYTES:
        raise PacketError(f"a history of more than {MAX_HISTORY_BYTES} bytes")
    try:
        return [{"role": str(entry["role"]), "content": str(entry["content"])} for entry in json.loads(data)]
    except (ValueError, TypeError, KeyError) as error:
        raise PacketError(f"the history is not a list of messages: {type(error).__name__}") from None


def _shortened(turn: Turn) -> Turn:
    return replace(
        turn,
        user_text=turn.user_text[:_MAX_TEXT],
        heard_text=turn.heard_text[:_MAX_TEXT],
        summary=turn.summary[:_MAX_TEXT],
    )
