"""Billing's settings; nothing else reads the environment."""

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import URL

from billing.database_url import read_database_url
from chassis.settings import ServiceSettings
from chassis.shared_settings import Price


class DatabaseSettings(BaseSettings):
    """The ledger's address: the only setting of `billing.migrate`."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

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
        """DATABASE_URL with our driver."""
        return read_database_url(self.database_url)


class Settings(ServiceSettings, DatabaseSettings, Price):
    host: str = Field(default="127.0.0.1", min_length=1, description="the address that the HTTP API listens on")
    port: int = Field(default=8003, ge=0, le=65535, description="the port of the HTTP API; 0 takes a free one")
    reconcile_s: float = Field(
        default=15,
        gt=0,
        le=3600,
        description="seconds between two comparisons with the log",
    )
