"""An empty database of each kind, and a ledger on it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from billing.adapters.database import Database
from billing.adapters.sql_ledger import SqlLedger
from billing.database_url import read_database_url
from billing.migrate import migrate


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """DATABASE_URL of a SQLite file that is not there yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'ledger' / 'billing.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """DATABASE_URL of an empty database; every test that asks runs on both kinds."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A migrated database of each kind."""
    async with migrated(database_url) as database:
        yield database


@pytest.fixture
async def sqlite_ledger(sqlite_url: str) -> AsyncIterator[SqlLedger]:
    async with migrated(sqlite_url) as database:
        yield SqlLedger(database)


@pytest.fixture
async def postgresql_ledger(postgres_url: str) -> AsyncIterator[SqlLedger]:
    async with migrated(postgres_url) as database:
        yield SqlLedger(database)


@asynccontextmanager
async def migrated(url: str) -> AsyncGenerator[Database]:
    database = Database(read_database_url(url))
    try:
        await migrate(database)
        yield database
    finally:
        await database.close()
