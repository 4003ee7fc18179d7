"""A bad setting is one line that names the variable, its problem and the fix."""

import pytest
from pydantic import Field, SecretStr, ValidationError

from chassis.settings import EXIT_BAD_SETTINGS, ServiceSettings, load


class Example(ServiceSettings):
    health_port: int = Field(default=8105, ge=1, le=65535, description="a port")
    max_bots: int = Field(default=50, ge=1, description="calls at once")
    api_secret: SecretStr = Field(min_length=8, description="LiveKit's API secret")
    regions: list[str] = Field(default_factory=list, description='a JSON list, such as ["eu"]')


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_URL", "LOG_FORMAT", "LOG_LEVEL", "HEALTH_PORT", "MAX_BOTS", "REGIONS", "API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("API_SECRET", "long enough")


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        load(Example)
    assert caught.value.code == EXIT_BAD_SETTINGS
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_the_defaults_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BOTS", "7")
    monkeypatch.setenv("REGIONS", '["eu"]')
    settings = load(Example)
    assert (settings.nats_url, settings.max_bots, settings.health_port) == ("nats://127.0.0.1:4222", 7, 8105)
    assert settings.regions == ["eu"]


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAX_BOTS", "")
    assert load(Example).max_bots == 50


def test_settings_do_not_change() -> None:
    settings = load(Example)
    with pytest.raises(ValidationError):
        settings.max_bots = 3


@pytest.mark.parametrize("value", ["none", "0", "1.5"])
def test_a_bad_number_names_variable_value_and_fix(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    monkeypatch.setenv("MAX_BOTS", value)
    line = refused(capsys)
    assert line.startswith("bad settings: MAX_BOTS: Input should be ")
    assert line.endswith("Set it to calls at once, or unset it.")


def test_several_bad_values_are_named_together(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAX_BOTS", "none")
    monkeypatch.setenv("LOG_FORMAT", "xml")
    line = refused(capsys)
    assert "MAX_BOTS" in line
    assert "LOG_FORMAT: Input should be 'json' or 'console'" in line


def test_a_missing_variable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("API_SECRET")
    assert refused(capsys) == "bad settings: API_SECRET: is not set. Set it to LiveKit's API secret."


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("API_SECRET", "hunter2")
    monkeypatch.setenv("NATS_URL", "http://bob:hunter2@host")
    line = refused(capsys)
    assert "hunter2" not in line
    assert "API_SECRET: " in line
    assert "NATS_URL: " in line


def test_a_list_that_is_no_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REGIONS", "eu,us")
    assert refused(capsys) == (
        'bad settings: REGIONS: not valid JSON. Set it to a JSON list, such as ["eu"], or unset it.'
    )
