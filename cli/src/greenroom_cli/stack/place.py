"""Tells a deployment's state folder from a copy of it.

Both have the same log and so the same deployment's name on LiveKit: each would delete the other's rooms as orphans. A
copy's files have other inodes.
"""

import json
import os
from pathlib import Path
from typing import Any, cast

from greenroom_cli.errors import CommandError

FILE = "place.json"


def refuse_copy(folder: Path, livekit_url: str, *, restored: bool) -> None:
    """Remember where the folder is, and which LiveKit it serves.

    Args:
        folder: The locked state folder.
        livekit_url: A copy may start with another one than the original's.
        restored: The user says that the original is stopped for good.

    Raises:
        CommandError: The folder is a copy, and its original may still run on the same LiveKit.
    """
    with (folder / FILE).open("a+") as file:  # never replaced, so that it keeps its inode
        here = {"inode": os.fstat(file.fileno()).st_ino, "livekit": livekit_url}
        file.seek(0)
        there = _read(file.read())
        if there == here:
            return
        if not restored and there.get("livekit") == livekit_url:
            raise CommandError(
                f"{folder} is a copy of a deployment's folder: if that one still runs, each deletes the other's rooms",
                "stop the other for good and give --restored, or name another LIVEKIT_URL",
            )
        file.truncate(0)
        file.write(json.dumps(here))


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:  # new, or cut off by a full disk
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
