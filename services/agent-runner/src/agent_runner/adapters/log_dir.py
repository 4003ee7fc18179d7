"""The folder of the sessions' log files, and of speech that is kept."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from chassis.errors import StartFailed

_KEPT_S: Final = 7 * 24 * 3600


def prepare(folder: Path) -> Path:
    """Make the folder and remove what was not used for 7 days, as long as sessions are kept elsewhere: logs, speech.

    Raises:
        StartFailed: It cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
        for file in (*folder.glob("session_*.log"), *folder.glob("voices/line-*")):  # drafts of lines, too
            with suppress(FileNotFoundError):  # another node of this folder was faster
                if time.time() - file.stat().st_mtime > _KEPT_S:
                    file.unlink()
    except OSError as error:
        raise StartFailed(f"LOG_DIR={folder} cannot be written: {error.strerror}", "Choose another folder.") from error
    return folder.resolve()
