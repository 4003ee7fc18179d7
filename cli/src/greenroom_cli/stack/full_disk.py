"""Restarts nats-server after a full disk: until then it stores nothing in a stream that met the limit."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

_WRITTEN: Final = b"no space left on device"
_ROOM: Final = 64 * 1024**2
_PAUSE_S: Final = 30.0
_MOST: Final = 4 * 1024**2  # bytes of the log per check


class FullDisk:
    """Reads nats-server's log as it grows, and tells when a restart helps.

    Attributes:
        is_met: The disk has been full since the server's last start.
    """

    def __init__(
        self,
        log: Path,
        store: Path,
        *,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start at the end of the log.

        Args:
            free: Free bytes of a folder's disk.
            clock: Monotonic seconds.
        """
        self.is_met = False
        self._log = log
        self._store = store
        self._free = free
        self._clock = clock
        self._read = self._size()
        self._restarted = -_PAUSE_S

    def why_restart(self) -> str | None:
        """Why the server needs a restart now; None: the disk was not full, or has not enough free bytes yet."""
        self.is_met = self._says_full() or self.is_met
        if not self.is_met or self._clock() - self._restarted < _PAUSE_S or self._free(self._store) < _ROOM:
            return None
        self.is_met = False
        self._restarted = self._clock()
        return "its disk was full, and it stores again only after a restart"

    def _says_full(self) -> bool:
        size = self._size()
        if size < self._read:  # the log was rotated
            self._read = 0
        if size == self._read:
            return False
        with self._log.open("rb") as log:
            log.seek(max(self._read, size - _MOST))
            found = _WRITTEN in log.read(_MOST)
        self._read = size
        return found

    def _size(self) -> int:
        try:
            return os.stat(self._log).st_size
        except OSError:
            return 0
