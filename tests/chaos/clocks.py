"""Clocks that can be set: libfaketime moves the wall clock of one process, and leaves its monotonic clock alone."""

import os
import subprocess
import sys
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

FAR_S = 300
TRIED_S = 30.0


@cache
def library() -> Path | None:
    """libfaketime, where it is installed and works on this machine."""
    found = find_spec("libfaketime")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
    if not path.exists():
        return None
    asked = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env={**os.environ, "LD_PRELOAD": str(path), "FAKETIME": f"+{FAR_S}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"},
        capture_output=True,
        check=False,
        timeout=TRIED_S,
    )
    try:
        moved_s = float(asked.stdout) - time.time()
    except ValueError:
        return None
    return path if abs(moved_s - FAR_S) < TRIED_S else None


class Clock:
    """The wall clock of the processes that are started with `environment`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.step(0)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that put a process on this clock."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_CACHE_DURATION": "1",
        }

    def step(self, ahead_s: int) -> None:
        """Set it so many seconds before, or with a negative number behind, the true time; noticed within a second."""
        draft = self.file.with_suffix(".new")
        draft.write_text(f"{ahead_s:+d}s\n")
        draft.rename(self.file)
