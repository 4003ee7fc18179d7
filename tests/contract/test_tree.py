"""tests/unit mirrors the packages, folder by folder; a test named after a module stands in its folder."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    path.parent.parent.name.replace("-", "_"): path
    for pattern in ("*/src/*/__init__.py", "services/*/src/*/__init__.py")
    for path in (init.parent for init in ROOT.glob(pattern))
}


def test_the_packages_are_found() -> None:
    assert len(PACKAGES) == 8


@pytest.mark.parametrize("part", sorted(PACKAGES))
def test_unit_tests_stand_where_their_subjects_stand(part: str) -> None:
    package, tests = PACKAGES[part], ROOT / "tests/unit" / part
    folders: dict[str, set[Path]] = {}
    for module in package.rglob("*.py"):
        folders.setdefault(module.stem, set()).add(module.parent.relative_to(package))

    for test in tests.rglob("test_*.py"):
        folder = test.parent.relative_to(tests)
        assert (package / folder).is_dir(), f"{test}: {package} has no {folder}"
        assert folder in folders.get(test.stem.removeprefix("test_"), {folder}), f"{test}: its module stands elsewhere"
