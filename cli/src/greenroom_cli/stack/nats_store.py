"""The folder of one account's streams in nats-server."""

import os
import shutil
from pathlib import Path

from greenroom_cli.errors import CommandError

_GLOBAL = "$G"


def move_to_account(store: Path, account: str) -> None:
    """Move the streams of a version without accounts from NATS' global account to this account.

    Call it while no server uses the folder. The move is one rename: after an interrupted start the next one does it.

    Raises:
        CommandError: Both have streams: an older version has run after a newer one.
    """
    old, new = (store / "jetstream" / name for name in (_GLOBAL, account))
    if not _has_streams(old):
        return
    if _has_streams(new):
        raise CommandError(
            f"{old} and {new} both contain streams: an older version has run here since",
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
