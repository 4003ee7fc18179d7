"""The commands of the Docker targets, printed by `make -n`: tests need no Docker engine."""

import subprocess
from pathlib import Path

import yaml

from greenroom_cli.stack.plan import LOCAL_DEFAULTS
from greenroom_cli.stack.providers import sandbox_environment

ROOT = Path(__file__).resolve().parents[3]


def compose_commands(target: str) -> list[list[str]]:
    printed = subprocess.run(
        ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    return [line.split() for line in printed.splitlines() if line.startswith("docker compose")]


def test_dev_stays_in_the_terminal_with_the_logs_of_everything() -> None:
    (command,) = compose_commands("dev")

    assert command[:4] == ["docker", "compose", "--profile", "sandbox"]
    assert "up" in command
    assert not {"--detach", "-d", "--wait", "--no-log-prefix", "--quiet-pull"} & set(command)


def test_up_goes_to_the_background_once_everything_is_healthy() -> None:
    (command,) = compose_commands("up")

    assert {"--detach", "--wait"} <= set(command)
    assert "sandbox" not in command


def test_logs_are_followed() -> None:
    (command,) = compose_commands("logs")

    assert command[-2:] == ["logs", "--follow"]


def test_logs_and_down_reach_the_parts_of_every_profile() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"].values()
    profiles = {profile for service in compose for profile in service.get("profiles", ())}

    for target in ("logs", "down"):
        (command,) = compose_commands(target)
        assert {command[i + 1] for i, word in enumerate(command) if word == "--profile"} == profiles


def test_dev_gives_the_sandbox_what_greenroom_up_gives_it() -> None:
    lines = (ROOT / "deploy" / "docker" / "sandbox.env").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))

    local = {
        name: value.replace("127.0.0.1:8010", "sandbox:8010") for name, value in sandbox_environment(8010, {}).items()
    }

    assert given == {**local, "SMART_TURN_STOP_SECS": LOCAL_DEFAULTS["SMART_TURN_STOP_SECS"]}
