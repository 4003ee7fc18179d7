"""The disk that NATS needs for its streams: the reserved and the free bytes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MIB: Final = 1024**2
LEAST_LIMIT: Final = 8 * 1024 * MIB
"""Minimum of `max_file_store`: folders of earlier versions have reserved 6.7 GiB."""

_LEAST_LOG_MB: Final = 64


@dataclass(frozen=True)
class Disk:
    """Needed and free bytes.

    Attributes:
        used: Bytes that NATS' store already has, a part of the needed ones.
        log_bytes: The limit of SESSIONS, a part of the needed ones.
    """

    folder: Path
    needed: int
    free: int
    used: int
    log_bytes: int

    @property
    def is_enough(self) -> bool:
        return self.free + self.used >= self.needed

    @property
    def shown(self) -> str:
        there = f"{_mb(self.free)} are free" + (f" and its store has {_mb(self.used)}" if self.used >= MIB else "")
        return f"NATS reserves {_mb(self.needed)} for its streams, and in {self.folder} {there}"

    @property
    def fix(self) -> str:
        missing = self.needed - self.free - self.used
        left_mb = (self.log_bytes - missing) // MIB
        free = f"free {_mb(missing)}"
        if left_mb < _LEAST_LOG_MB:
            return f"{free}, or choose another disk with --state"
        return f"{free}, or set SESSIONS_MAX_MB={left_mb}: the log then keeps that much of the last calls"


def nats_disk(state: Path, environment: Mapping[str, str]) -> Disk:
    """Measure the disk of a state folder, which need not exist yet.

    Args:
        environment: The services' environment; an invalid value counts as unset here.
    """
    from contracts import streams  # takes 0.2 s, so it is imported here

    def number(name: str, default: int) -> int:
        text = environment.get(name, "").strip()
        return int(text) if text.isdecimal() and text.isascii() else default

    calls = number("MAX_BOTS", 50), number("SESSION_TIMEOUT", 1_800_000)
    kept_s = (number("SESSIONS_MAX_AGE_H", streams.SESSIONS.max_age_s // 3600) + 24) * 3600
    log_bytes = number("SESSIONS_MAX_MB", streams.sessions_bytes(*calls) // MIB) * MIB
    bounds = {
        streams.SESSIONS.name: log_bytes,
        streams.KEYS.name: number("KEYS_MAX_MB", streams.keys_bytes(calls[0], kept_s) // MIB) * MIB,
        streams.IDEMPOTENCY.name: number("IDEMPOTENCY_MAX_MB", streams.IDEMPOTENCY.max_bytes // MIB) * MIB,
        streams.SEATS.name: number("SEATS_MAX_MB", streams.SEATS.max_bytes // MIB) * MIB,
    }
    needed = streams.reserved_bytes(bounds)
    store = state.absolute() / "nats"
    place = next(folder for folder in (store, *store.parents) if folder.is_dir())
    return Disk(place, needed, shutil.disk_usage(place).free, _size(store), log_bytes)


def _size(folder: Path) -> int:
    """The bytes of all files below; a file that disappears meanwhile counts as 0."""
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size if file.is_file() else 0
        except OSError:
            continue
    return total


def _mb(size: int) -> str:
    return f"{size / MIB:,.0f} MB"
