"""`docs/plain_english.py` reads prose, and only prose."""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
SCRIPT: dict[str, Any] = runpy.run_path(str(ROOT / "docs/plain_english.py"))
SAID = "nobody knows this"


def found(path: str, source: str, at: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Line numbers of the findings in a file of this content."""
    (at / path).parent.mkdir(parents=True, exist_ok=True)
    (at / path).write_text(source)
    texts: Callable[[str], Iterator[tuple[int, str]]] = SCRIPT["texts"]
    monkeypatch.setitem(texts.__globals__, "ROOT", at)
    return [line for start, text in texts(path) for line, _, _ in SCRIPT["findings"](text, start)]


@pytest.mark.parametrize(
    ("path", "source", "lines"),
    [
        ("a.py", f'"""One line.\n\n{SAID}\n"""\n', [3]),
        ("a.py", f"x = 1  # {SAID}\n", [1]),
        ("a.py", f'\nfix("{SAID}")\n', [2]),
        ("a.py", 'state = "nobody"\n', []),
        ("tests/a.py", f'\nfix("{SAID}")\n', []),
        ("a.py", '"""See `whoever`."""\n', []),
        ("a.md", f"A page.\n\n{SAID}\n", [3]),
        ("a.md", f"A page.\n\n    {SAID}\n\n```\n{SAID}\n```\nThen `{SAID}`, {SAID}\n", [8]),
    ],
)
def test_a_phrase_counts_in_prose_only(
    path: str, source: str, lines: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(path, source, tmp_path, monkeypatch) == lines
