"""Typing errors in the names of `.env`."""

import re
from pathlib import Path

import pytest

from greenroom_cli.env_names import known_variables, misspelt

ROOT = Path(__file__).parents[3]


def found(folder: Path, *names: str) -> dict[str, str]:
    """By misspelt name, the suggestion."""
    (folder / ".env").write_text("".join(f"{name}=hunter2\n" for name in names))
    remarks = misspelt(folder / ".env")
    assert not any("hunter2" in str(remark) for remark in remarks)
    return {remark.name: remark.fix.removeprefix("did you mean ").partition("?")[0] for remark in remarks}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GROQ_API_KYE", "GROQ_API_KEY"),
        ("GROQ_APIKEY", "GROQ_API_KEY"),
        ("groq_api_key", "GROQ_API_KEY"),
        ("ASSEMBLYAI_API_KEY", "ASSEMBLY_API_KEY"),
        ("MAX_BOT", "MAX_BOTS"),
        ("LIVEKIT_SECRET", "LIVEKIT_API_SECRET"),
        ("GREENROOM_APIKEYS", "GREENROOM_API_KEYS"),
        ("DATABASE_URI", "DATABASE_URL"),
        ("SANDBOX_PROT", "SANDBOX_PORT"),
        ("NATS_GATEWAY_PASWORD", "NATS_GATEWAY_PASSWORD"),
        ("TURN_DOMIAN", "TURN_DOMAIN"),
    ],
)
def test_a_typing_error_is_told_with_the_nearest_name(name: str, meant: str, tmp_path: Path) -> None:
    assert found(tmp_path, "PORT", name) == {name: meant}


@pytest.mark.parametrize(
    "name",
    [
        *(
            "REDIS_PASSWORD",
            "REDIS_HOST",
            "REDIS_READER_URL",
            "POSTGRES_USER",
            "POSTGRES_DB",
            "NATS_PASSWORD",
            "DB_URL",
        ),
        *("OPENAI_API_KEY", "DEEPGRAM_API_KEY", "GOOGLE_API_KEY", "ELEVENLABS_API_KEY", "MAX_TOKENS", "API_KEY"),
        *(
            "NODE_ENV",
            "SECRET_KEY",
            "DEBUG",
            "AWS_REGION",
            "HOSTNAME",
            "APP_PORT",
            "SENTRY_DSN",
            "COMPOSE_PROJECT_NAME",
        ),
        *("HTTPS_PROXY", "no_proxy", "SSL_CERT_FILE", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "PYTHONPATH", "TZ"),
    ],
)
def test_other_programs_variables_and_the_systems_are_no_matter(name: str, tmp_path: Path) -> None:
    assert found(tmp_path, name) == {}


def test_each_variable_of_the_example_is_known_and_no_other() -> None:
    names = re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)

    assert known_variables() == set(names)


def test_where_no_sandbox_is_installed_the_other_names_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("greenroom_cli.env_names.find_spec", lambda _name: None)

    assert "MAX_BOTS" in known_variables()
    assert "SANDBOX_PORT" not in known_variables()


def test_without_a_file_there_is_nothing_to_correct(tmp_path: Path) -> None:
    assert misspelt(tmp_path / ".env") == []
