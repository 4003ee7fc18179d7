"""deploy/docker/new_env.py fills in secrets."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).resolve().parents[3] / "deploy" / "docker" / "new_env.py"


@pytest.fixture
def new_env() -> ModuleType:
    spec = importlib.util.spec_from_file_location("new_env", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_placeholder_gets_a_secret_of_its_own_and_nothing_else_changes(new_env: ModuleType) -> None:
    lines = new_env.filled("A=change-me\n# B=change-me\nC=5\nD=change-me-change-me\n").splitlines()

    values = dict(line.split("=", 1) for line in lines)
    assert (values["# B"], values["C"]) == ("change-me", "5")
    assert len(values["A"]) == len(values["D"]) == 48
    assert values["A"] != values["D"]


def test_an_env_of_an_earlier_version_gets_the_secrets_that_it_lacks_and_keeps_its_own(
    new_env: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env.example").write_text("OLD=change-me\nNEW=change-me\nEMPTY=change-me\nPORT=8000\n")
    env = tmp_path / ".env"
    env.write_text("OLD=mine\nEMPTY=\n# NEW=commented out")
    env.chmod(0o600)
    monkeypatch.setattr(new_env, "ROOT", tmp_path)

    new_env.main()
    first = env.read_text()
    new_env.main()

    assert env.read_text() == first, "a second time changes nothing"
    assert first.startswith("OLD=mine\nEMPTY=\n# NEW=commented out\n")
    (added,) = [line for line in first.splitlines() if line.startswith("NEW=")]
    assert len(added) == len("NEW=") + 48
    assert capsys.readouterr().out == "added to .env: NEW\n"
    assert env.stat().st_mode & 0o777 == 0o600
