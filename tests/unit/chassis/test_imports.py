import importlib
import sys
from pathlib import Path

import pytest

from chassis.imports import without

SOURCE = """
try:
    import greenroom_optional
    FOUND = True
except ImportError:
    FOUND = False
"""


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greenroom_optional.py").write_text("")
    (tmp_path / "greenroom_taker.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("greenroom_optional", "greenroom_taker"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("packages")
def test_a_package_is_left_out_here_and_found_later() -> None:
    with without("greenroom_optional"):
        taker = importlib.import_module("greenroom_taker")
    assert not taker.FOUND
    assert importlib.import_module("greenroom_optional")


@pytest.mark.usefixtures("packages")
def test_a_package_that_is_in_use_stays() -> None:
    optional = importlib.import_module("greenroom_optional")
    with without("greenroom_optional"):
        assert importlib.import_module("greenroom_taker").FOUND
    assert sys.modules["greenroom_optional"] is optional


@pytest.mark.usefixtures("packages")
def test_a_failing_import_leaves_nothing_behind() -> None:
    with pytest.raises(RuntimeError), without("greenroom_optional"):
        raise RuntimeError
    assert importlib.import_module("greenroom_optional")
