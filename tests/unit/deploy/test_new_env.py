"""deploy/docker/new_env.py fills in secrets."""

import importlib.util
from pathlib import Path

PATH = Path(__file__).resolve().parents[3] / "deploy" / "docker" / "new_env.py"


def test_each_placeholder_gets_a_secret_of_its_own_and_nothing_else_changes() -> None:
    spec = importlib.util.spec_from_file_location("new_env", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    lines = module.filled("A=change-me\n# B=change-me\nC=5\nD=change-me-change-me\n").splitlines()

    values = dict(line.split("=", 1) for line in lines)
    assert (values["# B"], values["C"]) == ("change-me", "5")
    assert len(values["A"]) == len(values["D"]) == 48
    assert values["A"] != values["D"]
