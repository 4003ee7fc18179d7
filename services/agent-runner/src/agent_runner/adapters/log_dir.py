"""The folder of the sessions' log files and of cached speech."""

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from chassis.errors import StartFailed

_KEPT_S: Final = 7 * 24 * 3600


def prepare(folder: Path) -> Path:
    """Create the folder; delete logs and speech unused for 7 days, which is how long the log keeps sessions.

    Raises:
        StartFailed: The folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):  # a unique name: nodes that share the folder start at the same time
            pass
        for file in (*folder.glob("session_*.log"), *folder.glob("voices/line-*")):  # including drafts of lines
            with suppress(FileNotFoundError):  # another node with this folder deleted it first
                if time.time() - file.stat().st_mtime > _KEPT_S:
                    file.unlink()
    except OSError as error:
        raise StartFailed(f"LOG_DIR={folder} cannot be written: {error.strerror}", "Choose another folder.") from error
    return folder.resolve()
