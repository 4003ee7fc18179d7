"""Billing's settings; nothing else reads the environment."""

from typing import Final

from chassis.settings import ServiceSettings
from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}


def read_database_url(given: str) -> URL:
    """Read DATABASE_URL in any of the forms that hosts and tools hand out.

    Args:
        given: `sqlite:///path`, `postgres://...` or `postgresql://...`, with or without the driver's name.

    Raises:
        ValueError: Another database, none at all, or SQLite without a file.
    """
    try:
        url = make_url(given)
    except (ArgumentError, ValueError) as error:
        raise ValueError("this is no URL") from error
    driver = _DRIVERS.get(url.drivername)
    if driver is None:
        raise ValueError(f"{url.drivername} is not supported")
    if driver.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise ValueError("the ledger needs a file")
    url = url.set(drivername=driver)
    if driver.startswith("postgresql") and "sslmode" in url.query:
        # libpq's name for it, as hosted PostgreSQL hands it out; asyncpg's is `ssl`.
        url = url.difference_update_query(["sslmode"]).update_query_dict({"ssl": url.query["sslmode"]})
    return url


class DatabaseSettings(BaseSettings):
    """Where the ledger is; all that `billing.migrate` needs to know."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    database_url: str = Field(
        default="sqlite+aiosqlite:///billing.db",
        description="sqlite+aiosqlite:///path or postgresql+asyncpg://user:password@host:port/name",
    )

    @field_validator("database_url")
    @classmethod
    def _readable(cls, given: str) -> str:
        read_database_url(given)
        return given

    @property
    def database(self) -> URL:
        """DATABASE_URL with the driver that we use."""
        return read_database_url(self.database_url)


class Settings(ServiceSettings, DatabaseSettings):
    """The billing service."""

    host: str = Field(default="127.0.0.1", min_length=1, description="the address that the HTTP API listens on")
    port: int = Field(default=8003, ge=0, le=65535, description="the port of the HTTP API; 0 takes a free one")
    credits_per_minute: int = Field(default=1, ge=0, le=1_000_000, description="the price of a begun minute")
    reconcile_s: float = Field(
        default=15, gt=0, le=3600, description="seconds between two searches for ended sessions without a bill"
    )
