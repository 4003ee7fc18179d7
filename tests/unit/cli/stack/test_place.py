"""A copied state folder does not start beside its original."""

import shutil
from pathlib import Path

import pytest

from greenroom_cli.errors import CommandError
from greenroom_cli.stack.place import FILE, refuse_copy

LIVEKIT = "wss://livekit.example"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    folder = tmp_path / "original"
    folder.mkdir()
    refuse_copy(folder, LIVEKIT, restored=False)
    return folder


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "copy")


def test_the_original_starts_again_and_with_another_livekit(original: Path) -> None:
    refuse_copy(original, LIVEKIT, restored=False)
    refuse_copy(original, "wss://other.example", restored=False)
    refuse_copy(original, "wss://other.example", restored=False)


def test_a_moved_folder_starts(original: Path, tmp_path: Path) -> None:
    refuse_copy(original.rename(tmp_path / "moved"), LIVEKIT, restored=False)


def test_a_copy_is_refused_again_and_again_until_the_original_is_said_to_be_stopped(copy: Path) -> None:
    for _ in range(2):
        with pytest.raises(CommandError, match="is a copy of a deployment's folder") as refused:
            refuse_copy(copy, LIVEKIT, restored=False)
        assert "--restored" in str(refused.value)

    refuse_copy(copy, LIVEKIT, restored=True)
    refuse_copy(copy, LIVEKIT, restored=False)


def test_a_drill_with_a_livekit_of_its_own_starts(copy: Path) -> None:
    refuse_copy(copy, "ws://127.0.0.1:7880", restored=False)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_file_is_written_again(original: Path, text: str) -> None:
    (original / FILE).write_text(text)

    refuse_copy(original, LIVEKIT, restored=False)

    assert LIVEKIT in (original / FILE).read_text()
