"""`.env` as the commands read it, and where Docker Compose would read something else."""

from pathlib import Path

import pytest

from greenroom_cli.env_file import differences, read
from greenroom_cli.errors import CommandError


def written(folder: Path, text: str) -> Path:
    file = folder / ".env"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("KEY=pa$word", "pa$word"),
        ('KEY="pa${word}"', "pa${word}"),
        ("KEY=pa#ss", "pa#ss"),
        ('KEY="a\\tb"', "a\tb"),
    ],
)
def test_what_compose_reads_differently_is_named_without_its_value(line: str, value: str, tmp_path: Path) -> None:
    file = written(tmp_path, f"OTHER=fine\n{line}\n")

    found = differences(file)

    assert read(file)["KEY"] == value
    assert [difference.name for difference in found] == ["KEY"]
    assert "single quotes" in str(found[0])
    assert not any(part in str(found[0]) for part in ("pa", "ss", "word"))


@pytest.mark.parametrize(
    "line",
    [
        "KEY='pa$word'",
        "KEY='pa#ss'",
        "KEY=plain",
        "KEY=plain # a comment with $",
        "export KEY=plain",
        'KEY="two words"',
        "KEY=",
        "KEY",
        "# KEY=$commented",
    ],
)
def test_what_both_read_alike_is_no_matter(line: str, tmp_path: Path) -> None:
    assert differences(written(tmp_path, f"{line}\n")) == []


def test_a_line_that_is_no_assignment_is_named_by_its_number(tmp_path: Path) -> None:
    assert str(differences(written(tmp_path, 'A=b\nKEY="open\n'))[0]).startswith("line 2 in .env")


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / ".env") == {}
    assert differences(tmp_path / ".env") == []


def test_a_file_in_another_encoding_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("KEY=Zoë\n".encode("latin-1"))

    with pytest.raises(CommandError, match="not UTF-8"):
        read(tmp_path / ".env")
