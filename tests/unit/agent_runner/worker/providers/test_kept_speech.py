"""What is kept of a first line, and what of it comes back."""

import os
from pathlib import Path

import pytest

from agent_runner.agent_config import AgentConfig
from agent_runner.worker.providers.kept_speech import KeptSpeech, Part, Word

KEYS = {"assembly_api_key": "a", "groq_api_key": "g", "inworld_api_key": "i"}
LINE = "Hi Anna, it's 5 o'clock!"
PARTS: list[Part] = [
    b"\x01\x00" * 100,
    Word("Hi", 0.0),
    Word("Anna,", 0.25),
    b"\n\x00" * 50,
    *(Word(text, 0.5) for text in ("it's", "5", "o'clock!")),
]


def config(**changes: object) -> AgentConfig:
    return AgentConfig.model_validate(KEYS | changes)


def line(folder: Path, text: str = LINE, voice: str = "Ashley", **changes: object) -> KeptSpeech:
    return KeptSpeech(config(**changes), voice, text, folder)


def test_what_was_kept_comes_back_for_the_same_line_in_the_same_voice_alone(tmp_path: Path) -> None:
    folder = tmp_path / "voices"
    assert line(folder).parts() == []
    line(folder).keep(PARTS)
    assert line(folder).parts() == PARTS
    assert line(folder, "Hi Anna").parts() == []
    assert line(folder, voice="Craig").parts() == []
    assert line(folder, tts_sample_rate="48000").parts() == []
    assert line(folder, tts_model="other").parts() == []


def test_the_disk_shows_neither_the_words_nor_the_sound(tmp_path: Path) -> None:
    line(tmp_path).keep(PARTS)
    (file,) = tmp_path.iterdir()
    assert not any(secret in file.read_bytes() for secret in (b"Anna", b"clock", b"\x01\x00" * 4))


@pytest.mark.parametrize("parts", [PARTS[:-1], PARTS[1:3], [PARTS[0]], []])
def test_a_part_of_a_line_is_not_kept(tmp_path: Path, parts: list[Part]) -> None:
    line(tmp_path).keep(parts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"no json\n\x00\x00", None])
def test_a_damaged_file_counts_for_nothing(tmp_path: Path, damage: bytes | None) -> None:
    line(tmp_path).keep(PARTS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-2] if damage is None else damage)
    assert line(tmp_path).parts() == []


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    sound = bytes(400_000)
    for number, name in enumerate(("one", "two")):
        line(tmp_path, name, tts_cache_mb=1).keep([sound, Word(name, 0)])
        for file in tmp_path.iterdir():
            os.utime(file, (number, number)) if file.stat().st_mtime > 1000 else None
    assert line(tmp_path, "one", tts_cache_mb=1).parts()  # used now

    line(tmp_path, "three", tts_cache_mb=1).keep([sound, Word("three", 0)])

    assert [bool(line(tmp_path, name, tts_cache_mb=1).parts()) for name in ("one", "two", "three")] == [
        True,
        False,
        True,
    ]


def test_with_no_room_nothing_is_kept_and_nothing_comes_back(tmp_path: Path) -> None:
    line(tmp_path, tts_cache_mb=0).keep(PARTS)
    assert list(tmp_path.iterdir()) == []
    line(tmp_path).keep(PARTS)
    assert line(tmp_path, tts_cache_mb=0).parts() == []


def test_a_kept_line_is_not_for_everybody_and_one_that_cannot_be_kept_leaves_nothing(tmp_path: Path) -> None:
    line(tmp_path).keep(PARTS)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o007 == 0

    file.unlink()
    file.mkdir()  # in the way
    line(tmp_path).keep(PARTS)
    assert list(tmp_path.iterdir()) == [file]
