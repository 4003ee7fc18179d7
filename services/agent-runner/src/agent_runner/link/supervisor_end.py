"""The supervisor's handle of a forked worker: a pidfd, and one end of a SOCK_SEQPACKET pair on the event loop."""

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from agent_runner.link.messages import (
    MAX_PACKET_BYTES,
    PacketError,
    ToWorker,
    WorkerListener,
    decode_to_supervisor,
    encode,
)
from chassis import logs

_PACKETS_A_TURN: Final = 32  # read from one worker before the loop serves the others
_MAX_UNSENT: Final = 64
_EOF_GRACE_S: Final = 1.0  # a worker that has closed its socket exits within this time or is killed

log = logs.get_logger(__name__)


class ForkedWorker:
    """One worker; use it only on the event loop that made it."""

    def __init__(
        self, pid: int, pidfd: int, sock: socket.socket, listener: WorkerListener, on_reaped: Callable[[], object]
    ) -> None:
        """Watch the process and its socket.

        Args:
            pidfd: A descriptor of the process; closed here.
            sock: Our end, non-blocking; closed here.
            listener: Receives the worker's messages.
            on_reaped: Called after `on_gone`.
        """
        self.listener = listener
        self._pid = pid
        self._pidfd = pidfd
        self._sock = sock
        self._on_reaped = on_reaped
        self._gone = False
        self._eof = False
        self._unsent: deque[tuple[bytes, int | None]] = deque()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock, self._receive)
        self._loop.add_reader(pidfd, self._exited)

    @property
    def pid(self) -> int:
        return self._pid

    @property
    def is_gone(self) -> bool:
        return self._gone

    def send(self, message: ToWorker, *, history: bytes | None = None) -> None:
        """Queue a message, which is written as soon as the socket accepts it."""
        if self._gone:
            return
        if len(self._unsent) >= _MAX_UNSENT:  # it does not read; its silence will end it
            log.error("worker.not_reading", pid=self._pid, kind=message.kind)
            return
        self._unsent.append((encode(message), None if history is None else _memory_file(history)))
        self._flush()

    def kill(self) -> None:
        """SIGKILL through the pidfd, which cannot hit another process."""
        if not self._gone:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _flush(self) -> None:
        while self._unsent:
            packet, fd = self._unsent[0]
            try:
                socket.send_fds(self._sock, [packet], [] if fd is None else [fd])
            except (BlockingIOError, InterruptedError):
                self._loop.add_writer(self._sock, self._flush)
                return
            except OSError:  # it is exiting; the pidfd reports it in a moment
                break
            self._unsent.popleft()
            if fd is not None:
                os.close(fd)
        self._close_unsent()
        self._loop.remove_writer(self._sock)

    def _close_unsent(self) -> None:
        while self._unsent:
            _, fd = self._unsent.popleft()
            if fd is not None:
                os.close(fd)

    def _receive(self) -> None:
        for _ in range(_PACKETS_A_TURN):
            if not self._read_one():
                break
        if self._eof:
            self._loop.remove_reader(self._sock)
            self._loop.call_later(_EOF_GRACE_S, self.kill)

    def _read_one(self) -> bool:
        """Deliver one packet; False: none is waiting, or the worker has closed its end (`_eof`)."""
        try:
            packet = self._sock.recv(MAX_PACKET_BYTES + 1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            packet = b""
        if not packet:
            self._eof = True
            return False
        try:
            message = decode_to_supervisor(packet)
        except PacketError as error:
            log.error("worker.bad_packet", pid=self._pid, error=str(error))
            return True
        try:
            self.listener.on_message(message)
        except Exception:
            log.exception("worker.listener_bug", pid=self._pid, kind=message.kind)
        return True

    def _exited(self) -> None:
        """The process has exited: deliver its remaining messages, then report it."""
        self._loop.remove_reader(self._pidfd)
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        while not self._eof and self._read_one():
            pass
        self._gone = True
        with suppress(ChildProcessError):  # it is our child only if its forkserver died first
            os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        os.close(self._pidfd)
        self._close_unsent()
        self._sock.close()
        try:
            self.listener.on_gone()
        except Exception:
            log.exception("worker.listener_bug", pid=self._pid, kind="gone")
        self._on_reaped()


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("history", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
