import pytest
from billing.settings import Settings, read_database_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgres://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?ssl=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
    ],
)
def test_every_usual_form_of_a_database_url_is_read(given: str, used: str) -> None:
    assert read_database_url(given).render_as_string(hide_password=False) == used


@pytest.mark.parametrize("given", ["mysql://h/d", "nonsense", "", "sqlite://", "sqlite:///:memory:"])
def test_any_other_database_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"no URL|not supported|needs a file"):
        read_database_url(given)


def test_an_error_never_shows_the_password() -> None:
    with pytest.raises(ValueError, match="mysql is not supported") as caught:
        read_database_url("mysql://u:hunter2@h/d")

    assert "hunter2" not in str(caught.value)


def test_the_defaults_are_an_embedded_database_and_a_loopback_port(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PORT", "HOST"):
        monkeypatch.delenv(name, raising=False)

    settings = Settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8003)
    assert settings.database.drivername == "sqlite+aiosqlite"
