"""The Docker commands of the documents, against compose.yaml and the Makefile: tests need no Docker engine."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Options of `docker compose exec`, `run` and `cp` that take no value.
FLAGS = r"(?:(?:-T|-d|-it|--rm|--no-deps)\s+)*"


def commands() -> Iterator[tuple[str, str]]:
    """Each line of the documents' code, with the lines that continue it."""
    for document in DOCUMENTS:
        for block in re.findall(r"^ {4,}\S.*$|`[^`\n]+`", document.read_text().replace("\\\n", " "), re.MULTILINE):
            yield document.name, " ".join(block.strip("` ").split())


def found(pattern: str) -> list[tuple[str, str]]:
    return [(name, value) for name, command in commands() for value in re.findall(pattern, command)]


def test_commands_name_services_and_networks_of_compose() -> None:
    services = found(rf"docker compose (?:exec|run) {FLAGS}([\w-]+)") + found(r"docker compose cp ([\w-]+):")
    networks = found(r"docker run .*--network (\S+)")

    assert services
    assert networks
    assert not [each for each in services if each[1] not in COMPOSE["services"]]
    assert not [
        each for each in networks if each[1] not in {f"{COMPOSE['name']}_{name}" for name in COMPOSE["networks"]}
    ]


def test_the_documented_targets_of_make_are_there() -> None:
    targets = set(re.findall(r"^([a-z.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    asked = found(r"^(?:sudo )?make ([a-z.]+)")

    assert len(asked) > 10
    assert not [each for each in asked if each[1] not in targets]


def test_a_backup_asks_nothing_since_it_runs_without_a_terminal() -> None:
    backups = [command for _, command in commands() if "account backup" in command and command.startswith("docker run")]

    assert backups
    assert all("--force" in command and " -it " not in command for command in backups)


@pytest.mark.parametrize("secret", [".env", "deploy/prometheus/greenroom-key"])
def test_git_ignores_the_files_of_secrets_that_the_documents_name(secret: str) -> None:
    assert secret in (ROOT / ".gitignore").read_text().splitlines()
