"""What a node clears away when it starts."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent_runner.adapters.log_dir import prepare
from chassis.errors import StartFailed

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


def test_nodes_that_share_the_folder_may_start_at_the_same_time(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as nodes:
        assert set(nodes.map(prepare, [tmp_path / "agents"] * 400)) == {(tmp_path / "agents").resolve()}
    assert not list((tmp_path / "agents").iterdir())


def test_a_folder_that_cannot_be_written_is_refused_by_the_name_of_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartFailed, match=r"LOG_DIR=.*file/agents cannot be written"):
        prepare(tmp_path / "file" / "agents")
