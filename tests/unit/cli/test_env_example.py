""".env.example says the defaults that the code has, so that a line can be read without the code."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from agent_runner.agent_config import AgentConfig
from agent_runner.settings import Settings as AgentRunnerSettings
from billing.settings import Settings as BillingSettings
from gateway.settings import Settings as GatewaySettings
from greenroom_cli.settings import Settings as CommandSettings
from sandbox.settings import Settings as SandboxSettings
from scheduler.settings import Settings as SchedulerSettings

EXAMPLE = (Path(__file__).parents[3] / ".env.example").read_text()
COMMENTED = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.+)$", EXAMPLE, flags=re.MULTILINE))
SET = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", EXAMPLE, flags=re.MULTILINE))
REQUIRED = {
    **SET,
    "LIVEKIT_URL": "ws://l",
    "LIVEKIT_API_SECRET": "s" * 32,
    "GREENROOM_API_KEYS": "k" * 64,
    "ACCOUNT_KEY": "a" * 32,
    "GROQ_API_KEY": "g",
    "ASSEMBLY_API_KEY": "a",
    "INWORLD_API_KEY": "i",
}
# One variable, another default in each service.
DIFFER = {"port", "health_port"}


def read(settings: type[BaseSettings], environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if settings is CommandSettings:
        return CommandSettings.of(environment).model_dump(exclude=DIFFER)
    with monkeypatch.context() as patch:
        for name in {**COMMENTED, **SET, **REQUIRED}:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        return settings().model_dump(exclude=DIFFER)


@pytest.mark.parametrize(
    "settings",
    [
        *(GatewaySettings, SchedulerSettings, AgentRunnerSettings, AgentConfig, BillingSettings),
        *(SandboxSettings, CommandSettings),
    ],
)
def test_the_defaults_that_it_names_are_the_codes_own(
    settings: type[BaseSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    required = {name: value for name, value in REQUIRED.items() if value}

    as_written = read(settings, {**required, **COMMENTED, "LIVEKIT_URL": "ws://l"}, monkeypatch)

    assert as_written == read(settings, required, monkeypatch)


def test_each_variable_stands_in_it_once() -> None:
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", EXAMPLE, flags=re.MULTILINE)

    assert len(names) == len(set(names))
