"""The command in its own process, as users run it."""

import signal
import subprocess
import sys
from pathlib import Path

from greenroom_cli.stack import system_environment

GREENROOM = (sys.executable, "-c", "from greenroom_cli.main import main; main()")


def greenroom(*words: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*GREENROOM, *words],
        cwd=folder,
        env={**system_environment(), "COLUMNS": "200", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def hear_ctrl_c() -> None:
    """A shell starts what runs in its background with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
