"""Secrets are hidden by what the process's variables hold, and in tracebacks too."""

import subprocess
import sys

import pytest

from chassis import redaction
from chassis.redaction import HIDDEN, hide, learn, without_identity


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", None)


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("GROQ_API_KEY", "correct-horse", "401 for correct-horse"),
        ("GREENROOM_API_KEYS", "correct-horse,battery-staple", "refused: battery-staple"),
        ("GREENROOM_API_KEYS", "correct-horse[sessions+tokens],battery-staple[admin]", "refused: correct-horse"),
        ("GREENROOM_API_KEYS", "correct-horse[sessions+tokens], battery-staple[admin]", "refused: battery-staple"),
        ("LIVEKIT_WEBHOOK_KEYS", "old:correct-horse", "signed with correct-horse"),
        ("NATS_URL", "nats://bob:correct%40horse@h:4222", "password correct@horse"),
        ("NATS_URL", "nats://bob:correct%40horse@h:4222", "sent correct%40horse"),
        ("REDIS_URL", "redis://:battery/staple-horse@h:6379", "port could not be read: 'staple-horse'"),
        ("REDIS_URL", "redis://h:6379/0?username=bob&password=correct+horse", "password correct horse"),
        ("DATABASE_URL", "postgresql://h/d?sslpassword=correct-horse", "cannot decrypt with correct-horse"),
    ],
)
def test_what_a_variable_holds_is_hidden_wherever_it_stands(variable: str, value: str, text: str) -> None:
    learn(variable, value)

    assert HIDDEN in hide(text)
    assert "horse" not in hide(text)
    assert "staple" not in hide(text)


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LIVEKIT_API_KEY", "greenroom"), ("REGION", "eu-west-1a"), ("NATS_URL", "nats://nats-server:4222")],
)
def test_what_is_no_secret_stays(variable: str, value: str) -> None:
    learn(variable, value)

    assert hide(f"started with {value}") == f"started with {value}"


def test_a_short_word_does_not_blot_out_the_log() -> None:
    learn("GROQ_API_KEY", "sandbox")

    assert hide("the sandbox answers") == "the sandbox answers"


SCRIPT = """
import os, threading
from chassis.settings import ServiceSettings, load

class Settings(ServiceSettings):
    api_secret: str

settings = load(Settings)
threading.Thread(target=lambda: int(settings.api_secret)).start()
raise RuntimeError(settings.api_secret)
"""


def test_a_traceback_holds_no_secret() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env={"API_SECRET": "correct-horse"}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "ValueError" in done.stderr
    assert "horse" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("redis://bob:hunter2@host:6379/0", "redis://host:6379/0"),
        ("redis://host:6379/0?username=bob&password=hunter2", "redis://host:6379/0"),
        ("redis://host?password=hunter2@hunter2", "redis://host"),
        ("redis://bob:hunter/2@2@host:6379/0", "redis://host:6379/0"),
        ("nats://a:b@one:4222,nats://c:d@two:4222", "nats://one:4222,nats://two:4222"),
        ("cannot connect to wss://bob:hunter2@host/rtc?access_token=eyJ: 401", "cannot connect to wss://host/rtc 401"),
    ],
)
def test_an_address_is_shown_without_who_we_are_there(text: str, told: str) -> None:
    assert without_identity(text) == told
