"""Weak LiveKit secrets are refused by every part that reads one, and are never shown."""

import pytest

from chassis.credentials import weakness
from chassis.settings import load
from gateway.settings import Settings as GatewaySettings
from greenroom_cli.errors import CommandError
from greenroom_cli.local_stack import Wanted, options
from scheduler.settings import Settings

GOOD = "s" * 32
LIVEKIT = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": "k"}
WEAK = ["hunter2", "s" * 31, "é" * 15, "change-me-change-me-change-me-change-me", "CHANGE-ME" + "x" * 40]


@pytest.mark.parametrize("secret", WEAK)
def test_a_weak_secret_is_named_without_being_shown(secret: str) -> None:
    problem = weakness(secret)

    assert problem is not None
    assert secret not in problem


def test_a_generated_secret_is_fine() -> None:
    assert weakness(GOOD) is None
    assert weakness("é" * 16) is None, "bytes count, not characters"


@pytest.mark.parametrize("settings", [GatewaySettings, Settings])
@pytest.mark.parametrize("secret", WEAK)
def test_services_refuse_a_weak_secret(
    settings: type[GatewaySettings] | type[Settings],
    secret: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in {**LIVEKIT, "LIVEKIT_API_SECRET": secret}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        load(settings)

    line = capsys.readouterr().err
    assert line.startswith("bad settings: LIVEKIT_API_SECRET: ")
    assert secret not in line
    monkeypatch.setenv("LIVEKIT_API_SECRET", GOOD)
    load(settings)


def test_a_weak_webhook_secret_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {**LIVEKIT, "LIVEKIT_API_SECRET": GOOD, "LIVEKIT_WEBHOOK_KEYS": "old:short"}.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(SystemExit):
        load(GatewaySettings)

    assert "LIVEKIT_WEBHOOK_KEYS" in capsys.readouterr().err


def test_up_refuses_a_weak_secret_for_a_livekit_of_ones_own() -> None:
    with pytest.raises(CommandError, match="LIVEKIT_API_SECRET") as refused:
        options({**LIVEKIT, "LIVEKIT_API_SECRET": "short-secret"}, Wanted())

    assert "short-secret" not in str(refused.value)
