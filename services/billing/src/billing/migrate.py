"""`python -m billing.migrate`: bring the database's schema up to date.

Safe to repeat, and safe when two run at once: the second waits for the first and finds nothing to do.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import Connection

from billing.adapters.database import Database
from billing.adapters.schema import REVISION
from billing.ports import LedgerUnavailable
from billing.settings import DatabaseSettings
from chassis.redaction import say
from chassis.settings import load

# An arbitrary number: the advisory lock that every migration of this database takes first.
_LOCK: Final = 7_024_911_603
_ATTEMPTS: Final = 10
_RETRY_S: Final = 1.0


async def migrate(database: Database) -> str | None:
    """Apply the missing migrations in one transaction.

    Returns:
        The revision before; None for an empty database.

    Raises:
        LedgerUnavailable: The database does not answer.
    """
    if database.dialect == "sqlite":
        _make_folder(database)
        await database.use_wal()
    before = await database.revision()
    if before != REVISION:
        async with database.writing() as connection:
            if database.dialect == "postgresql":
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(_upgrade)
    return before


def _make_folder(database: Database) -> None:
    Path(database.url.database or "").parent.mkdir(parents=True, exist_ok=True)


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def _main() -> int:
    database = Database(load(DatabaseSettings).database)
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                before = await migrate(database)
            except LedgerUnavailable as error:
                if attempt == _ATTEMPTS:
                    _say(f"the database does not answer: {error.reason}. Check DATABASE_URL and that it runs.")
                    return 1
                await asyncio.sleep(_RETRY_S)
                continue
            done = "up to date" if before == REVISION else f"migrated from {before or 'nothing'}"
            _say(f"{database.shown} is at {REVISION} ({done})")
            return 0
        return 1
    finally:
        await database.close()


def _say(line: str) -> None:
    say(f"billing.migrate: {line}")


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
