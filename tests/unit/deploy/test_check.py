"""deploy/check.py finds what compose.yaml and .env.example get wrong."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="module")
def check() -> Iterator[ModuleType]:
    monkeypatch = pytest.MonkeyPatch()
    path = Path(__file__).resolve().parents[3] / "deploy" / "check.py"
    monkeypatch.syspath_prepend(str(path.parent))
    spec = importlib.util.spec_from_file_location("deploy_check", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    monkeypatch.undo()


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


def test_credentials_that_docker_cannot_use_need_not_reach_a_part(check: ModuleType) -> None:
    packages = read(check, gateway={"NATS_CREDS"})
    assert check.withheld_problems(services(check), packages, {"NATS_CREDS"}) == []


def test_the_example_names_every_variable_and_no_other(check: ModuleType) -> None:
    offered = check.offered_by("# a comment\nPORT=8000\n# MAX_BOTS=50\n#LOG_LEVEL=INFO\n")
    assert offered == {"PORT", "MAX_BOTS", "LOG_LEVEL"}
    assert check.example_problems(offered, {"PORT", "MAX_BOTS", "NATS_URL"}) == [
        ".env.example does not name NATS_URL, which the code reads",
        ".env.example names LOG_LEVEL, which nothing reads",
    ]


def test_the_variables_of_a_package_are_those_of_its_settings(check: ModuleType) -> None:
    assert {"DATABASE_URL", "PORT", "NATS_URL"} <= check.variables("billing")


def test_a_stranger_on_the_network_of_the_stores_is_named(check: ModuleType) -> None:
    compose = {"services": {
        "nats": {"networks": ["back"]}, "gateway": {"networks": ["edge", "back"]},
        "livekit": {"networks": ["edge", "back"]}, "jaeger": {},
    }}  # fmt: skip
    assert check.network_problems(compose) == [
        "compose.yaml puts jaeger on the default network",
        "compose.yaml puts livekit on back, a network of NATS, Redis or PostgreSQL",
    ]


def test_only_the_gateway_and_livekit_are_published_beyond_loopback(check: ModuleType) -> None:
    compose = {"services": {
        "gateway": {"networks": ["edge"], "ports": ["8000:8000"]},
        "nats": {"networks": ["back"], "ports": ["127.0.0.1:8222:8222"]},
        "jaeger": {"networks": ["observe"], "ports": ["16686:16686"]},
    }}  # fmt: skip
    assert check.network_problems(compose) == [
        "compose.yaml publishes 16686:16686 of jaeger beyond loopback: write 127.0.0.1:16686:16686"
    ]


def test_each_part_has_a_user_of_its_own(check: ModuleType) -> None:
    compose = services(
        check,
        gateway={"NATS_URL": "nats://gateway:${NATS_GATEWAY_PASSWORD}@nats:4222", "REDIS_URL": "redis://redis:6379/0"},
        billing={"NATS_URL": "nats://scheduler:${NATS_SCHEDULER_PASSWORD}@nats:4222"},
    )
    given = {server: {"environment": dict.fromkeys(names)} for server, names in check.backplane.variables().items()}
    del given["redis"]["environment"]["REDIS_READER_PASSWORD"]
    compose["services"] |= given
    assert check.user_problems(compose) == [
        "compose.yaml does not give redis REDIS_READER_PASSWORD",
        "compose.yaml gives billing NATS_URL without the user billing",
        "compose.yaml gives gateway REDIS_URL without the user gateway",
    ]


def test_the_build_context_has_what_the_dockerfile_copies_and_no_secret() -> None:
    root = Path(__file__).resolve().parents[3]
    ignored = {line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")}
    copies = [line.split()[1:-1] for line in (root / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    sources = {source for names in copies for source in names if not source.startswith(("/", "--"))}

    assert {".env", ".env.*"} <= ignored
    assert {"contracts", "services", "requirements.lock"} <= sources
    assert not [source for source in sources if ignored & {source, *(str(p) for p in Path(source).parents)}]


SAFE: dict[str, Any] = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": "1g",
    "pids_limit": 10,
    "logging": {"driver": "local"},
    "healthcheck": {},
    "image": "nats:2",
}


def test_a_container_that_may_do_more_than_it_needs_is_named(check: ModuleType) -> None:
    compose = {"services": {
        "nats": SAFE,
        "redis": SAFE | {"cap_add": ["CHOWN", "NET_ADMIN"], "image": "redis"},
        "jaeger": {name: value for name, value in SAFE.items() if name not in ("read_only", "healthcheck")},
        "migrate": {name: value for name, value in SAFE.items() if name != "healthcheck"} | {"restart": "no"},
    }}  # fmt: skip
    assert check.hardening_problems(compose) == [
        "compose.yaml gives jaeger no healthcheck",
        "compose.yaml gives jaeger no read_only: true",
        "compose.yaml gives redis the capability NET_ADMIN",
        "compose.yaml takes redis without a version",
    ]


def test_a_base_image_that_cannot_be_pinned_is_named(check: ModuleType) -> None:
    dockerfile = "FROM a:1${A_DIGEST} AS build\nFROM build AS other\nFROM b:${B} AS x\nFROM part-${PART}\n"
    assert check.base_image_problems("D", dockerfile) == ["D: write FROM b:${B}${NAME_DIGEST} and ARG NAME_DIGEST="]
