"""Events that wait for NATS, also on disk: they survive a supervisor that dies or stops meanwhile.

One append-only file a job, `<folder>/<session id>.<epoch>.jsonl`, created when NATS stops answering and deleted when
its events are in the log. The next supervisor of this node publishes the events of the remaining files, with the same
ids and in the same order.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from chassis import logs, metrics
from contracts.events import Event, ServedTick, ToolCalled, TurnFinished
from contracts.parsing import UnknownEvent, parse_event

_MODE: Final = 0o640  # turns are in it, as in the sessions' logs
_SPARE: Final = (ServedTick, TurnFinished, ToolCalled)

_BYTES = metrics.gauge("agent_spool_bytes", "Bytes of events on this node's disk that wait for NATS")
_SKIPPED = metrics.counter("agent_spool_skipped_total", "Events kept in memory only: OUTBOX_MAX_MB or the disk is full")

log = logs.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SpooledEvent:
    """One line of a file."""

    event: Event
    expect_last: int | None


class Spool:
    """A node's folder, with a bound in bytes for ticks and turns; the few events that the bill needs always fit."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes = sum(file.stat().st_size for file in self._files())
        _BYTES.set(self._bytes)

    def open(self, session_id: str, epoch: int) -> "SpoolFile":
        """A job's file; its first event creates it on disk."""
        return SpoolFile(self, self._folder / f"{session_id}.{epoch}.jsonl")

    def left_behind(self) -> "Iterator[SpoolFile]":
        """The files of earlier supervisors of this node, oldest first."""
        for file in sorted(self._files(), key=lambda found: found.stat().st_mtime):
            yield SpoolFile(self, file)

    def has_room(self, size: int) -> bool:
        """Whether a tick or turn of this size may be written."""
        return self._bytes + size <= self._max_bytes

    def changed(self, size: int) -> None:
        """Add a change of a file's size, in bytes."""
        self._bytes += size
        _BYTES.set(self._bytes)

    def _files(self) -> list[Path]:
        return list(self._folder.glob("session_*.jsonl"))


class SpoolFile:
    """The waiting events of one job. A failed write loses the copy on disk, never the event in memory."""

    def __init__(self, spool: Spool, file: Path) -> None:
        self.name = file.stem
        self._spool = spool
        self._file = file
        self._fd: int | None = None

    def add(self, event: Event, expect_last: int | None) -> None:
        line = json.dumps(
            {"subject": event.subject, "expect_last": expect_last, "event": event.model_dump(mode="json")},
            separators=(",", ":"),
        ).encode()
        if isinstance(event, _SPARE) and not self._spool.has_room(len(line) + 1):
            _SKIPPED.inc()
            return
        try:
            if self._fd is None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._fd = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _MODE)
            self._spool.changed(os.write(self._fd, line + b"\n"))
        except OSError as error:
            _SKIPPED.inc()
            log.error("spool.not_written", file=self.name, error=str(error))

    def read(self) -> list[SpooledEvent]:
        """Read all valid lines: the last one may be half written."""
        found: list[SpooledEvent] = []
        for line in self._file.read_bytes().splitlines():
            try:
                kept = json.loads(line)
                found.append(SpooledEvent(parse_event(kept["subject"], kept["event"]), kept["expect_last"]))
            except (ValueError, TypeError, KeyError, ValidationError, UnknownEvent) as error:
                log.error("spool.unreadable", file=self.name, error=type(error).__name__)
        return found

    def close(self) -> None:
        """Close the file and leave it on disk."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def delete(self) -> None:
        """Delete the file: its events are in the log."""
        self.close()
        with suppress(OSError):
            size = self._file.stat().st_size
            self._file.unlink()
            self._spool.changed(-size)
