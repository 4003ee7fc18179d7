"""A process's output: into its log file, and for a container also to a stream, line by line."""

import contextlib
import os
import threading
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

LIMIT_BYTES = 20_000_000
_LONGEST_LINE = 1024**2
_SETTLE_S = 1.0
_KEPT_BYTES = 1024**2


class Output:
    """The log of one process over all its runs; `LIMIT_BYTES` and the last file before.

    Args:
        echo: Gets each line, too. The process writes into a pipe then, and a thread reads it: a log driver that stalls
            stalls the process, as in any container, but not the supervisor.
    """

    def __init__(self, log: Path, echo: BinaryIO | None) -> None:
        self._log = log
        self._echo = echo
        self._start = 0
        self._copying: threading.Thread | None = None
        self._lock = threading.Lock()
        self._kept = b""  # could not be written

    @contextlib.contextmanager
    def opened(self) -> Generator[BinaryIO | int]:
        """The output of the next run, open until the process has been started."""
        self._rotate()
        with self._log.open("ab") as log:
            self._start = log.tell()
            if self._echo is None:
                yield log
                return
        read, write = os.pipe()
        self._copying = threading.Thread(target=self._copy, args=(read, self._echo), daemon=True)
        self._copying.start()
        try:
            yield write
        finally:
            os.close(write)

    def settle(self) -> None:
        """Wait until the last lines of a run that has ended are copied."""
        if self._copying is not None:
            self._copying.join(_SETTLE_S)

    def tail(self, lines: int) -> list[str]:
        """The last lines of the current run."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._start, size - 16_384))
            return log.read().decode(errors="replace").splitlines()[-lines:]

    def _copy(self, read: int, echo: BinaryIO) -> None:
        with open(read, "rb") as pipe:
            while line := pipe.readline(_LONGEST_LINE):
                self._write(line)
                with contextlib.suppress(OSError, ValueError):  # closed by its reader
                    echo.write(line)
                    echo.flush()

    def write_kept(self) -> None:
        """Write the lines, 1 MiB at most, that a full disk has refused."""
        if self._kept:
            self._write(b"")

    def _write(self, line: bytes) -> None:
        with self._lock:
            self._kept = (self._kept + line)[:_KEPT_BYTES]
            with contextlib.suppress(OSError):  # a full disk
                if self._rotate():
                    self._start = 0
                with self._log.open("ab", buffering=0) as log:
                    while self._kept:
                        self._kept = self._kept[log.write(self._kept) :]

    def _rotate(self) -> bool:
        if not self._log.exists() or self._log.stat().st_size <= LIMIT_BYTES:
            return False
        self._log.replace(self._log.with_suffix(".log.1"))
        return True
