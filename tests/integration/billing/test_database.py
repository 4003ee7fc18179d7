"""The schema: created once, by the first process, and append-only for all."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, text
from sqlalchemy.engine import Connection

from billing.adapters.database import Database
from billing.adapters.schema import REVISION, metadata
from billing.adapters.sql_ledger import SqlLedger
from billing.database_url import read_database_url
from billing.domain.ledger import settle
from billing.domain.rating import Tariff
from billing.domain.usage import usage
from billing.migrate import migrate
from billing.ports import LedgerUnavailable
from tests.integration.billing.conftest import migrated
from tests.support.billing.logs import call
from tests.support.events import SESSION, stopped
from tests.support.servers import free_port

MIGRATIONS = Path(__file__).parents[3] / "services/billing/src/billing/migrations"


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    database = Database(read_database_url(database_url))
    try:
        assert await database.reason_unready() == f"the database's schema is at nothing, this version needs {REVISION}"
        assert await migrate(database) is None
        assert await migrate(database) == REVISION
        assert await database.reason_unready() is None
    finally:
        await database.close()


async def test_all_that_migrate_at_once_succeed(database_url: str) -> None:
    databases = [Database(read_database_url(database_url)) for _ in range(8)]
    try:
        await asyncio.gather(*(migrate(database) for database in databases))
        assert await databases[0].revision() == REVISION
    finally:
        for database in databases:
            await database.close()


async def test_bills_of_the_first_schema_are_the_same_after_the_migration(database_url: str) -> None:
    def first(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    account = settle(usage(SESSION, call(61_000)), Tariff(rule=1))
    database = Database(read_database_url(database_url))
    try:
        if database.dialect == "sqlite":
            Path(database.url.database or "").parent.mkdir(parents=True)
        async with database.writing() as connection:
            await connection.run_sync(first)
            await connection.execute(
                text(
                    "INSERT INTO settlements VALUES (:session_id, :user_id, 'completed', :reason, 61000, 61, 2, 2, 1, "
                    ":at, 0, :seq, :records, :sha256, :epochs)"
                ),
                {
                    "session_id": SESSION,
                    "user_id": account.settlement.user_id,
                    "reason": account.settlement.reason,
                    "at": account.settlement.settled_ms,
                    "seq": account.settlement.log.ended_seq,
                    "records": account.settlement.log.records,
                    "sha256": account.settlement.log.sha256,
                    "epochs": '[{"epoch":1,"node_id":"n1","served_ms":61000,"span_ms":null,"billable_ms":61000,'
                    f'"sequences":{list(account.settlement.epochs[0].sequences)}}}]',
                },
            )

        assert await migrate(database) == "0001"

        ledger = SqlLedger(database)
        assert await ledger.record(account) == 1  # its entry; the settlement is there, and the same
        assert await ledger.account(SESSION) == account
    finally:
        await database.close()


async def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []


def test_the_code_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_current_head() == REVISION


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settlements SET credits = 0",
        "UPDATE ledger_entries SET credits = 0",
        "DELETE FROM ledger_entries",
        "DELETE FROM settlements",
        "INSERT INTO ledger_entries SELECT 'x', session_id, user_id, kind, 0, 0, 0, 0, 0, 1, '' FROM ledger_entries",
    ],
)
async def test_the_database_itself_refuses_a_change_and_a_second_usage_entry(
    database: Database, statement: str
) -> None:
    ledger = SqlLedger(database)
    account = settle(usage(SESSION, call(61_000)), Tariff())
    await ledger.record(account)

    with pytest.raises(LedgerUnavailable, match=r"append-only|UNIQUE|unique"):
        async with database.writing() as connection:
            await connection.execute(text(statement))

    assert await ledger.account(SESSION) == account


async def test_postgresql_refuses_to_empty_a_table(postgresql_ledger: SqlLedger, postgres_url: str) -> None:
    await postgresql_ledger.record(settle(usage(SESSION, call(61_000)), Tariff()))
    database = Database(read_database_url(postgres_url))
    try:
        with pytest.raises(LedgerUnavailable, match="append-only"):
            async with database.writing() as connection:
                await connection.execute(text("TRUNCATE ledger_entries"))
    finally:
        await database.close()


@pytest.mark.parametrize("url", ["postgresql://nobody@127.0.0.1:{port}/none", "sqlite:////proc/self"])
async def test_a_database_that_is_not_there_is_unavailable_and_says_so_without_the_password(url: str) -> None:
    database = Database(read_database_url(url.format(port=free_port()).replace("nobody", "nobody:hunter2")))
    try:
        with pytest.raises(LedgerUnavailable) as error:
            await database.revision()
        assert "hunter2" not in error.value.reason
        assert await database.reason_unready() == error.value.reason
    finally:
        await database.close()
        # After a failed open aiosqlite does not wait for its thread, which still reports to this test's loop.
        for thread in threading.enumerate():
            if "_connection_worker_thread" in thread.name:
                await asyncio.to_thread(thread.join, 5)


async def test_a_postgresql_that_refuses_us_or_ends_our_connection_is_unavailable(postgres_url: str) -> None:
    url = read_database_url(postgres_url)
    none, database = Database(url.set(database="none")), Database(url)
    try:
        with pytest.raises(LedgerUnavailable, match="does not exist"):
            await none.revision()
        with pytest.raises(LedgerUnavailable, match="terminat"):
            async with database.reading() as connection:
                await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        with pytest.raises(LedgerUnavailable, match="cancel"):
            async with database.reading() as connection:
                await connection.execute(text("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(1)"))
        assert await database.revision() is None
    finally:
        await none.close()
        await database.close()


async def test_a_locked_sqlite_file_is_unavailable_to_writers_only_until_it_is_free(
    sqlite_ledger: SqlLedger, sqlite_url: str
) -> None:
    account = settle(usage(SESSION, call(61_000, stopped(125_000))), Tariff())
    holder = sqlite3.connect(read_database_url(sqlite_url).database or "", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(LedgerUnavailable, match="locked"):
            await sqlite_ledger.record(account)
        assert await sqlite_ledger.account(SESSION) is None
    finally:
        holder.execute("ROLLBACK")
        holder.close()

    assert await sqlite_ledger.record(account) == 3
    assert await sqlite_ledger.account(SESSION) == account


async def test_writers_of_a_backlog_take_turns_and_each_comes_to_write(sqlite_url: str) -> None:
    async with migrated(sqlite_url) as database:

        async def write(n: int) -> None:
            async with database.writing() as connection:
                await connection.execute(text("CREATE TABLE IF NOT EXISTS written (n INTEGER)"))
                await connection.execute(text("INSERT INTO written VALUES (:n)"), {"n": n})
                await asyncio.sleep(0.02)  # as on a slow disk

        await asyncio.gather(*(write(n) for n in range(60)))
        async with database.reading() as connection:
            written = (await connection.execute(text("SELECT n FROM written"))).scalars().all()

    assert written == list(range(60)), "in the order of their coming"


async def test_sqlite_ignores_a_replacement_of_a_row_that_is_there(sqlite_ledger: SqlLedger, sqlite_url: str) -> None:
    account = settle(usage(SESSION, call(61_000, stopped(125_000))), Tariff())
    await sqlite_ledger.record(account)
    with closing(sqlite3.connect(read_database_url(sqlite_url).database or "", isolation_level=None)) as connection:
        for table in ("settlements", "ledger_entries"):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            forged = ", ".join("0" if name == "credits" else name for name in columns)
            connection.execute(f"INSERT OR REPLACE INTO {table} SELECT {forged} FROM {table}")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):  # by the key of its cause
            connection.execute(
                "INSERT OR REPLACE INTO ledger_entries "
                "SELECT 'x', session_id, user_id, kind, 0, 0, 0, 0, at_ms, cause_seq, note FROM ledger_entries"
            )

    assert await sqlite_ledger.account(SESSION) == account
    assert await sqlite_ledger.record(account) == 0


async def test_a_ledger_whose_triggers_are_gone_is_not_ready(database_url: str) -> None:
    dropped = {
        "sqlite": ("DROP TRIGGER ledger_entries_no_replace", "ledger_entries_no_replace"),
        "postgresql": ("ALTER TABLE settlements DISABLE TRIGGER settlements_append_only", "settlements_append_only"),
    }
    async with migrated(database_url) as database:
        statement, name = dropped[database.dialect]
        assert await database.reason_unready() is None
        async with database.writing() as connection:
            await connection.execute(text(statement))

        assert await database.missing_guards() == [name]
        assert name in (await database.reason_unready() or "")


async def test_a_read_only_primary_and_a_lost_grant_are_outages_and_not_ready(
    postgresql_ledger: SqlLedger, postgres_url: str
) -> None:
    url = read_database_url(postgres_url)
    account = settle(usage(SESSION, call(61_000)), Tariff())
    owner = Database(url)
    role = f"reader_{uuid4().hex[:8]}"
    standby = Database(url.update_query_dict({"options": "-c default_transaction_read_only=on"}))
    reader = Database(url.update_query_dict({"options": f"-c role={role}"}))
    try:
        async with owner.writing() as connection:
            await connection.execute(text(f"CREATE ROLE {role}"))
            await connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"))
        for database, reason in ((standby, "read-only transaction"), (reader, "permission denied")):
            with pytest.raises(LedgerUnavailable, match=reason):
                await SqlLedger(database).record(account)
            assert reason in (await database.reason_unready() or "")
            assert await SqlLedger(database).account(SESSION) is None  # it still reads
        assert await postgresql_ledger.record(account) == 2
    finally:
        async with owner.writing() as connection:
            await connection.execute(text(f"DROP OWNED BY {role}"))
            await connection.execute(text(f"DROP ROLE {role}"))
        for database in (owner, standby, reader):
            await database.close()


async def test_a_sqlite_file_that_lost_its_write_permission_is_not_ready(
    sqlite_ledger: SqlLedger, sqlite_url: str
) -> None:
    account = settle(usage(SESSION, call(61_000)), Tariff())
    await sqlite_ledger.record(account)
    database = Database(read_database_url(sqlite_url))
    event.listen(database._engine.sync_engine, "connect", _only_queries)  # pyright: ignore[reportPrivateUsage]
    try:
        assert "readonly" in (await database.reason_unready() or "")
    finally:
        await database.close()


def _only_queries(connection: Any, _record: object) -> None:
    connection.execute("PRAGMA query_only = ON")


def test_a_ledger_is_never_migrated_back() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    for revision in ScriptDirectory.from_config(config).walk_revisions():
        with pytest.raises(NotImplementedError, match="cannot be downgraded"):
            revision.module.downgrade()
