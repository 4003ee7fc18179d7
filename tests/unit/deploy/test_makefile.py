"""The commands of the Docker targets, printed by `make -n`: tests need no Docker engine."""

import subprocess
from pathlib import Path

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
