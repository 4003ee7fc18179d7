"""No line about a bad setting holds a secret: every variable of every part, broken in every way, one after another.

The variables come from the settings classes themselves, so that a new one is tried too.
"""

import importlib
import pkgutil
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from agent_runner.domain.warm_floors import EXAMPLE
from chassis import redaction
from chassis.settings import load, variables
from greenroom_cli.errors import CommandError

PACKAGES = ("gateway", "scheduler", "agent_runner", "billing", "sandbox", "greenroom_cli")
MARK = "hunter2"
SECRET = f"{MARK}-of-at-least-32-bytes-for-tests-"
FORMS = (
    "{secret}",
    "{secret}://{secret}:{secret}@[",
    "http://{secret}:{secret}@host:99999/{secret}",
    "nats://{secret}:{secret}/{secret}@host",
    "nats://{secret}:{secret}@host#{secret},ws://{secret}@host",
    "redis://:{secret}#{secret}@host:1/0?{secret}={secret}",
    "redis://bob:{secret}@host:1/{secret}",
    "postgresql://{secret}:{secret}@host:port/{secret}?sslmode={secret}",
    "postgresql://u:{secret}@host/d?sslrootcert=/nowhere/{secret}",
    '["{secret}"',
    '{{"{secret}": "{secret}"}}',
    "{secret}={secret};{secret},{secret}:{secret}",
    "/nowhere/{secret}",
    "{secret}[sessions+{secret}]",
    "{secret}[sessions],{secret}[",
    "\udcff{secret}",  # a byte that is not UTF-8
)
VALID = {
    "LIVEKIT_URL": "ws://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "greenroom",
    "LIVEKIT_API_SECRET": SECRET,
    "GREENROOM_API_KEYS": f"{SECRET}[sessions+tokens],{SECRET[::-1]}",
    "LIVEKIT_WEBHOOK_KEYS": f"old:{SECRET}",
    "NATS_URL": f"nats://bob:{SECRET}@host:4222",
    "REDIS_URL": f"redis://:{SECRET}@host:6379/0",
    "DATABASE_URL": f"postgresql://bob:{SECRET}@host/ledger",
    "ASSEMBLY_API_KEY": SECRET,
    "GROQ_API_KEY": SECRET,
    "INWORLD_API_KEY": SECRET,
    "WARM_FLOORS": EXAMPLE,
    "TZ": "Europe/Berlin",
}


@dataclass(frozen=True)
class Part:
    settings: type[BaseSettings]
    variable: str

    def __str__(self) -> str:
        return f"{self.settings.__module__}.{self.settings.__name__}.{self.variable}"

    def load(self, environment: dict[str, str]) -> None:
        """Read the settings as the part's process does."""
        reader: Callable[..., Any] | None = getattr(self.settings, "of", None)  # the CLI's
        own: Callable[..., Any] | None = getattr(self.settings, "load", None)  # the sandbox's
        if reader is not None:
            reader(environment)
        elif own is not None:
            own({})
        else:
            load(self.settings)


def _classes() -> Iterator[type[BaseSettings]]:
    for package in PACKAGES:
        root = importlib.import_module(package)
        for module in pkgutil.walk_packages(root.__path__, f"{package}."):
            if module.name.endswith(("settings", "agent_config")):
                for value in vars(importlib.import_module(module.name)).values():
                    if isinstance(value, type) and issubclass(value, BaseSettings) and value.__module__ == module.name:
                        yield value


PARTS = [Part(settings, variable) for settings in _classes() for variable in sorted(variables(settings))]


def test_every_part_is_tried() -> None:
    modules = {part.settings.__module__.partition(".")[0] for part in PARTS}

    assert modules == set(PACKAGES)
    assert {"NATS_URL", "REDIS_URL", "DATABASE_URL", "TZ", "GROQ_API_KEY"} <= {part.variable for part in PARTS}


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_broken_variable_shows_no_secret(
    part: Part, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(redaction, "hide", str)  # the net below: no line may need it
    for name in variables(part.settings):
        monkeypatch.delenv(name, raising=False)
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    for form in FORMS:
        broken = form.format(secret=SECRET)
        monkeypatch.setenv(part.variable, broken)

        said = _refusal(part, {**VALID, part.variable: broken})

        captured = capsys.readouterr()
        written = captured.out + captured.err + said
        assert MARK not in written, written
        assert len(written.splitlines()) <= 1, "one line, and no traceback"


def _refusal(part: Part, environment: dict[str, str]) -> str:
    """What the error says beside the line that was printed; a traceback for a foreign one."""
    try:
        part.load(environment)
    except (SystemExit, CommandError) as refused:
        return str(refused) if isinstance(refused, CommandError) else ""
    except Exception:
        return traceback.format_exc()
    return ""
