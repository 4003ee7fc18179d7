"""A wrong setting is one line that names it, and exit code 2."""

import os

import pytest

from chassis.settings import load
from scheduler.settings import Settings

GOOD = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("MAX_BOTS", "many", "MAX_BOTS"),
        ("MAX_BOTS", "0", "MAX_BOTS"),
        ("SESSION_TIMEOUT", "5", "SESSION_TIMEOUT"),
        ("LIVEKIT_URL", "localhost", "LIVEKIT_URL"),
        ("LIVEKIT_API_SECRET", "", "LIVEKIT_API_SECRET"),
        ("BOT_STARTUP_TIMEOUT", "3", "ATTEMPT_TIMEOUT_S"),
    ],
)
def test_a_wrong_value_ends_the_process_with_one_line(
    environment: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], variable: str, value: str, named: str
) -> None:
    environment.setenv(variable, value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    said = capfd.readouterr().err
    assert ended.value.code == 2
    assert named in said
    assert len(said.strip().splitlines()) == 1
    assert "s" * 32 not in said


def test_the_numbers_reach_the_domain_in_ms(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MAX_BOTS", "7")
    environment.setenv("RECONNECT_GRACE_S", "1.5")
    limits = load(Settings).limits()
    assert (limits.max_bots, limits.max_queue, limits.reconnect_ms, limits.session_ms) == (7, 70, 1_500, 1_800_000)
