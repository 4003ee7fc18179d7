"""Billing's defaults."""

import pytest

from billing.settings import Settings


def test_the_defaults_are_an_embedded_database_and_a_loopback_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PORT", "HOST"):
        monkeypatch.delenv(name, raising=False)

    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8003)
    assert settings.database.drivername == "sqlite+aiosqlite"
