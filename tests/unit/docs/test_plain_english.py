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
        (".env.example", f"# {SAID}\n# NAME={SAID}\nNAME={SAID}\n", [1]),
        ("compose.yaml", f"x: {SAID}  # {SAID}\n", [1]),
        ("alerts.yml", f"a: {SAID}\naction: >-\n  Look.\n  {SAID}\nb: {SAID}\n", [4]),
        ("Dockerfile", f"# {SAID}\nRUN {SAID}\n", [1]),
        ("a.ts", f'// {SAID}\nconst x = "{SAID}";\nconst y = "nobody";\nlet nobody = 1;\n', [1, 2]),
        ("a.ts", f"/** One line.\n *  `whoever`\n * {SAID} */\n", [3]),
        ("a.tsx", f"  return <p>\n    {SAID}, {{name}}</p>;\n", [2]),
    ],
)
def test_a_phrase_counts_in_prose_only(
    path: str, source: str, lines: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found(path, source, tmp_path, monkeypatch) == lines


def test_a_name_with_a_forbidden_verb_is_found_outside_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: Callable[[str], Iterator[str]] = SCRIPT["forbidden_names"]
    monkeypatch.setitem(names.__globals__, "ROOT", tmp_path)
    (tmp_path / "tests").mkdir()
    for path in ("a.py", "tests/a.py"):
        (tmp_path / path).write_text("def dropped(): ...\n\n\ndef _drop_all(): ...\n")

    assert [place.split(";")[0] for place in names("a.py")] == ["a.py:4: _drop_all"]
    assert not list(names("tests/a.py"))
