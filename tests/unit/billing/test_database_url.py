from pathlib import Path

import pytest

from billing.adapters.database import Database
from billing.database_url import read_database_url


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("sqlite:///a/b.db", "sqlite+aiosqlite:///a/b.db"),
        ("sqlite+aiosqlite:////a/b.db", "sqlite+aiosqlite:////a/b.db"),
        ("postgres://u:p@h:5/d", "postgresql+asyncpg://u:p@h:5/d"),
        ("postgresql://u@h/d?sslmode=require", "postgresql+asyncpg://u@h/d?sslmode=require"),
        ("postgresql://u@h/d?ssl=require", "postgresql+asyncpg://u@h/d?sslmode=require"),
        ("postgresql+asyncpg://u@h/d", "postgresql+asyncpg://u@h/d"),
    ],
)
def test_every_usual_form_of_a_database_url_is_read(given: str, used: str) -> None:
    assert read_database_url(given).render_as_string(hide_password=False) == used


@pytest.mark.parametrize("given", ["mysql://h/d", "nonsense", "", "sqlite://", "sqlite:///:memory:"])
def test_any_other_database_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"not a URL|unsupported|needs a file"):
        read_database_url(given)


def test_an_error_never_shows_the_password() -> None:
    with pytest.raises(ValueError, match="unsupported") as caught:
        read_database_url("mysql://u:hunter2@h/d")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("pgbouncer=true", "pgbouncer is unknown"),
        ("password=hunter2", "password is unknown"),
        ("keepalives=1", "keepalives is unknown"),
        ("sslmode=hunter2", "sslmode must be one of"),
        ("sslrootcert=/nowhere/hunter2", "sslrootcert does not name a file"),
        ("connect_timeout=hunter2", "connect_timeout must be a whole number"),
        ("channel_binding=hunter2", "channel_binding must be"),
        ("application_name=a&application_name=hunter2", "application_name is given twice"),
    ],
)
def test_a_parameter_that_has_no_effect_here_is_refused_by_name(parameters: str, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read_database_url(f"postgresql://u@h/d?{parameters}")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "parameters", ["sslrootcert={file}", "sslcrl={file}", "sslcert={file}&sslkey={file}&sslrootcert=system"]
)
def test_a_file_that_holds_something_else_is_refused(tmp_path: Path, parameters: str) -> None:
    file = tmp_path / "file"
    file.write_text("hunter2\n")

    with pytest.raises(ValueError, match=r"sslrootcert|sslcrl|sslcert") as caught:
        read_database_url(f"postgresql://u@h/d?{parameters.format(file=file)}")

    assert "hunter2" not in str(caught.value)


def test_sqlite_takes_no_parameters() -> None:
    with pytest.raises(ValueError, match="mode is unknown"):
        read_database_url("sqlite:///a.db?mode=ro")


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    shown = Database(read_database_url("postgresql://u:hunter2@h/d?sslpassword=hunter2&host=a:1")).shown

    assert shown == "postgresql+asyncpg://u:***@h/d?host=a%3A1"
