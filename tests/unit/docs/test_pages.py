"""The pages: every link leads somewhere, and every `greenroom` command and route that the README shows exists."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from typer.main import get_group

from greenroom_cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = [
    page
    for pattern in ("*.md", "docs/**/*.md", "services/*/*.md", "*/README.md")
    for page in ROOT.glob(pattern)
    if not page.relative_to(ROOT).parts[0].startswith(".")
]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", sorted(set(PAGES)), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())

    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_readme_shows_commands_that_exist() -> None:
    shown = set(re.findall(r"greenroom ([a-z]+)", README))
    known = set(get_group(app).commands)

    assert len(shown) >= 8
    assert shown <= known


def test_the_readme_shows_routes_that_exist() -> None:
    shown = set(re.findall(r"`(?:(?:GET|POST) )?(/[a-z][^`?\s]*)(?:\?[^`\s]*)?`", README))
    described = set(json.loads((ROOT / "docs/api/openapi.json").read_text())["paths"])
    known = {re.sub(r"\{\w+\}", "{}", path) for path in described} | {"/docs", "/console"}

    assert len(shown) >= 12
    assert {re.sub(r"\{\w+\}", "{}", path) for path in shown} <= known


def test_the_readme_shows_make_targets_that_exist() -> None:
    shown = set(re.findall(r"make ([a-z.]+)", README))
    targets = set(re.findall(r"^([\w.]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))

    assert {"demo", "test", "dev"} <= shown
    assert shown <= targets


def test_all_parts_have_the_newest_version_of_the_changelog() -> None:
    parts = [tomllib.loads(path.read_text()) for path in ROOT.glob("*/pyproject.toml")]
    parts += [tomllib.loads(path.read_text()) for path in ROOT.glob("services/*/pyproject.toml")]
    newest = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0]

    assert {part["project"]["version"] for part in parts} == {newest}
    assert len(parts) == 8


def test_contributing_names_files_that_exist() -> None:
    sources = {path.name: next((path / "src").iterdir()) for path in (ROOT / "services").iterdir()}
    named = re.findall(r"`([\w.-]+/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())

    def exists(name: str) -> bool:
        part, _, rest = name.partition("/")
        return (ROOT / name).exists() or (part in sources and (sources[part] / rest).exists())

    assert len(named) > 30
    assert not [name for name in named if not exists(name)]
