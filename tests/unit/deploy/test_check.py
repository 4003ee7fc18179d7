"""deploy/check.py finds what compose.yaml and .env.example get wrong."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def check() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "deploy" / "check.py"
    spec = importlib.util.spec_from_file_location("deploy_check", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(check: ModuleType, **packages: set[str]) -> dict[str, set[str]]:
    return {package: packages.get(package, set()) for package in check.PARTS.values()}


def services(check: ModuleType, **environment: dict[str, str]) -> dict[str, Any]:
    return {"services": {part: {"environment": environment.get(part, {})} for part in check.PARTS}}


def test_a_variable_that_the_part_does_not_read_is_named(check: ModuleType) -> None:
    compose = services(check, gateway={"PORTS": "8000"})
    problems = check.compose_problems(compose, read(check, gateway={"PORT"}), set(), "")
    assert problems == ["compose.yaml gives gateway PORTS, which gateway does not read"]


def test_a_missing_part_is_named(check: ModuleType) -> None:
    compose = services(check)
    del compose["services"]["billing"]
    assert check.compose_problems(compose, read(check), set(), "") == ["compose.yaml starts no billing"]


def test_a_variable_asked_of_the_user_stands_in_the_example(check: ModuleType) -> None:
    problems = check.compose_problems(services(check), read(check), {"PORT"}, "a: ${PORT:-1}\nb: ${KEY:?set it}")
    assert problems == ["compose.yaml asks for KEY, which .env.example does not name"]


def test_a_variable_that_the_user_may_set_reaches_its_part(check: ModuleType) -> None:
    compose = services(check, gateway={"PORT": "8000"}, scheduler={"MAX_LOAD": ""})
    packages = read(check, gateway={"PORT", "BUS_DEADLINE_S", "HEALTH_PORT", "SECRET"}, scheduler={"MAX_LOAD"})
    assert check.withheld_problems(compose, packages, {"PORT", "BUS_DEADLINE_S", "HEALTH_PORT", "MAX_LOAD"}) == [
        "compose.yaml does not give gateway BUS_DEADLINE_S, which gateway reads and .env.example offers"
    ]


def test_the_example_names_every_variable_and_no_other(check: ModuleType) -> None:
    offered = check.offered_by("# a comment\nPORT=8000\n# MAX_BOTS=50\n#LOG_LEVEL=INFO\n")
    assert offered == {"PORT", "MAX_BOTS", "LOG_LEVEL"}
    assert check.example_problems(offered, {"PORT", "MAX_BOTS", "NATS_URL"}) == [
        ".env.example does not name NATS_URL, which the code reads",
        ".env.example names LOG_LEVEL, which nothing reads",
    ]


def test_the_variables_of_a_package_are_those_of_its_settings(check: ModuleType) -> None:
    assert {"DATABASE_URL", "PORT", "NATS_URL"} <= check.variables("billing")
