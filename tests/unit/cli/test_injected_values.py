"""Kubernetes and Docker links put `tcp://host:port` into variables of names that we read too: NAME_PORT, and more."""

from typing import Any

import pytest
from pydantic_settings import BaseSettings

from agent_runner.agent_config import AgentConfig
from agent_runner.settings import Settings as AgentRunnerSettings
from billing.settings import DatabaseSettings
from billing.settings import Settings as BillingSettings
from chassis.settings import load
from gateway.settings import Settings as GatewaySettings
from greenroom_cli.errors import CommandError
from greenroom_cli.settings import Settings as CommandSettings
from sandbox.settings import Settings as SandboxSettings
from scheduler.settings import Settings as SchedulerSettings

INJECTED = "tcp://10.96.0.7:8010"
NEEDED = {
    **dict.fromkeys(("GROQ_API_KEY", "ASSEMBLY_API_KEY", "INWORLD_API_KEY"), "k"),
    "LIVEKIT_URL": "ws://livekit",
    "LIVEKIT_API_KEY": "k",
    "LIVEKIT_API_SECRET": "0123456789abcdef0123456789abcdef",
}
SERVICES = (GatewaySettings, SchedulerSettings, AgentRunnerSettings, AgentConfig, BillingSettings, DatabaseSettings)


def variables(cls: type[BaseSettings]) -> list[str]:
    prefix = str(cls.model_config.get("env_prefix") or "")
    return [f"{prefix}{field.validation_alias or name}".upper() for name, field in cls.model_fields.items()]


def read(cls: type[BaseSettings]) -> Any:
    return SandboxSettings.load({}) if cls is SandboxSettings else load(cls)


def exit_code(cls: type[BaseSettings]) -> object:
    """How reading the settings ends the process; None when it does not."""
    try:
        read(cls)
    except SystemExit as end:
        return end.code
    return None


@pytest.mark.parametrize(
    ("cls", "variable"), [(cls, name) for cls in (*SERVICES, SandboxSettings) for name in variables(cls)]
)
def test_each_variable_takes_it_or_is_named_in_one_line(
    cls: type[BaseSettings],
    variable: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**NEEDED, variable: INJECTED}.items():
        monkeypatch.setenv(name, value)

    code = exit_code(cls)

    said = capsys.readouterr().err
    assert code in (None, 2)
    assert said.count("\n") == (0 if code is None else 1)
    assert code is None or variable in said


@pytest.mark.parametrize(
    ("cls", "variable"),
    [
        (GatewaySettings, "PORT"),
        (BillingSettings, "PORT"),
        (SchedulerSettings, "HEALTH_PORT"),
        (GatewaySettings, "REDIS_URL"),
        (SandboxSettings, "SANDBOX_PORT"),
    ],
)
def test_a_port_or_url_of_that_form_is_refused(
    cls: type[BaseSettings], variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {**NEEDED, variable: INJECTED}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        read(cls)

    assert f"bad settings: {variable}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["GREENROOM_URL", "LIVEKIT_URL", "GROQ_BASE_URL", "ASSEMBLY_BASE_URL"])
def test_the_command_names_its_variable_too(name: str) -> None:
    with pytest.raises(CommandError, match=f"{name} is invalid: it is not a URL"):
        CommandSettings.of({name: INJECTED})


@pytest.mark.parametrize("value", ["[1", "x", "1"])
def test_a_list_that_is_not_json_is_named(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SANDBOX_GROQ_MODELS", value)

    with pytest.raises(SystemExit):
        SandboxSettings.load({})

    assert capsys.readouterr().err.startswith("sandbox: bad settings: SANDBOX_GROQ_MODELS: ")
