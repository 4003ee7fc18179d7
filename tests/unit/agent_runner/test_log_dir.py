"""What a node clears away when it starts."""

import os
import time
from pathlib import Path

from agent_runner.adapters.log_dir import prepare

DAY_S = 24 * 3600


def test_what_was_not_used_for_a_week_goes_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "voices").mkdir()
    names = ("session_1.log", "voices/line-1.pcm", "voices/line-1.4711", "voices/apology-1.wav", "notes.txt")
    for days in (1, 8):
        for name in names:
            file = (tmp_path / name).with_stem(f"{Path(name).stem}{days}")
            file.touch()
            used = time.time() - days * DAY_S
            os.utime(file, (used, used))

    prepare(tmp_path)

    left = {file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*") if file.is_file()}
    assert left == {
        "session_11.log", "voices/line-11.pcm", "voices/line-11.4711", "voices/apology-11.wav", "notes1.txt",
        "voices/apology-18.wav", "notes8.txt",
    }  # fmt: skip
