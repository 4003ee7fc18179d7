"""docs/security.md: every test that it names exists, and each of the ten risks has its part."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def defined_in(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_test_that_the_page_names_exists() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED
        if not (ROOT / path).is_file() or (name and name not in defined_in(path))
    ]

    assert len(NAMED) > 50
    assert not missing


def test_each_risk_has_controls_and_each_control_names_its_test() -> None:
    risks = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    covered = {part.split()[0]: part for part in risks if part.startswith("API")}

    assert list(covered) == [f"API{n}" for n in range(1, 11)]
    for risk, part in covered.items():
        controls = re.split(r"^- ", part, flags=re.MULTILINE)[1:]
        assert controls, risk
        assert not [control for control in controls if "`tests/" not in control], risk
