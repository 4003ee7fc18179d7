"""The folder in which nats-server keeps the streams of one account."""

import os
import shutil
from pathlib import Path

from greenroom_cli.errors import CommandError

_GLOBAL = "$G"


def move_to_account(store: Path, account: str) -> None:
    """Give the account the streams that a version without accounts kept in NATS' global account.

    To be called while no server runs on the folder. The move is one rename: an interrupted start does it at the next.

    Raises:
        CommandError: Both have streams: an older version has run after a newer one.
    """
    old, new = (store / "jetstream" / name for name in (_GLOBAL, account))
    if not _has_streams(old):
        return
    if _has_streams(new):
        raise CommandError(
            f"{old} and {new} both hold streams: an older version has run here since",
            f"move one of the two out of {store} (docs/runbooks/backplane-users.md)",
        )
    if new.exists():
        shutil.rmtree(new)
    old.rename(new)
    folder = os.open(new.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _has_streams(account: Path) -> bool:
    streams = account / "streams"
    return streams.is_dir() and any(streams.iterdir())
