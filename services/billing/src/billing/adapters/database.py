"""The database: its engine, transactions, and the state of its schema."""

import asyncio
import sqlite3
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import event, false, inspect, select, text, update
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from billing.adapters.schema import GUARDS, REVISION, ledger_entries, log_position, settlements
from billing.database_url import SYSTEM
from billing.ports import LedgerUnavailable

_STATEMENT_S: Final = 10.0
_CONNECT_S: Final = 5.0
_BUSY_MS: Final = 3_000
_BUSY_RETRY_S: Final = 0.05
_POOL: Final = 10
_SIZES: Final = ("prepared_statement_cache_size", "statement_cache_size")
_TRIGGERS: Final = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
    # Without disabled triggers.
    "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A') "
    "AND tgrelid IN (to_regclass('settlements'), to_regclass('ledger_entries'))",
}


class Database:
    """One engine. Reads and writes are separate, since a SQLite transaction must begin as a write if it will write."""

    def __init__(self, url: URL) -> None:
        self.url = url
        # Without the other parameters, since one of them may be a password.
        named = {name: value for name, value in url.query.items() if name in ("host", "port")}
        self.shown = url.set(query=named).render_as_string(hide_password=True)
        self._engine = _engine(url)
        self._turn = asyncio.Lock() if self.dialect == "sqlite" else None

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def is_missing(self) -> bool:
        """Whether it is a SQLite file that does not exist; opening it would create it."""
        return self.dialect == "sqlite" and not _exists(self.url)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[AsyncConnection]:
        """One read transaction.

        Raises:
            LedgerUnavailable: Any error of the database, or no answer within 10 s.
        """
        async with self._transaction(self._engine.execution_options(begin="BEGIN")) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncGenerator[AsyncConnection]:
        """One transaction, committed at the end of the block.

        Raises:
            LedgerUnavailable: Any error of the database, or no answer within 10 s; whether it committed is unknown.
        """
        # In SQLite a transaction that reads first and writes later fails when another has written in between.
        begin = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        async with self._its_turn(), self._transaction(begin) as connection:
            yield connection

    async def use_wal(self) -> None:
        """Switch the SQLite file to WAL mode, which it keeps: readers and one writer do not block each other.

        Raises:
            LedgerUnavailable: Another process holds the file.
        """
        until = time.monotonic() + _BUSY_MS / 1000
        while True:
            try:
                async with self._transaction(self._engine.execution_options(begin="")) as connection:
                    await connection.execute(text("PRAGMA journal_mode = WAL"))
                return
            except LedgerUnavailable as error:
                # SQLite ignores the busy timeout when two processes change the mode at once, and refuses one.
                if not _is_busy(error.__cause__) or time.monotonic() >= until:
                    raise
            await asyncio.sleep(_BUSY_RETRY_S)

    async def revision(self) -> str | None:
        """The last applied migration; None in an empty database.

        Raises:
            LedgerUnavailable: The database does not answer.
        """
        if self.is_missing:  # a query would create the file
            return None
        async with self.reading() as connection:
            if not await connection.run_sync(_has_versions):
                return None
            return (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()

    async def missing_guards(self) -> list[str]:
        """The triggers of the append-only rule that are missing or disabled.

        Raises:
            LedgerUnavailable: The database does not answer.
        """
        async with self.reading() as connection:
            found = (await connection.execute(text(_TRIGGERS[self.dialect]))).scalars().all()
        return sorted(GUARDS[self.dialect] - set(found))

    async def reason_unready(self) -> str | None:
        """None when the ledger is usable. It runs writes of no rows, which a standby or a lost grant refuses."""
        try:
            revision = await self.revision()
            if revision != REVISION:
                return f"the database's schema is at {revision or 'nothing'}, this version needs {REVISION}"
            async with self.writing() as connection:
                for table in (settlements, ledger_entries):
                    await connection.execute(table.insert().from_select(table.c.keys(), select(table).where(false())))
                await connection.execute(update(log_position).where(false()).values(seq=log_position.c.seq))
            missing = await self.missing_guards()
        except LedgerUnavailable as error:
            return error.reason
        return f"the ledger is not append-only: no trigger {', '.join(missing)}" if missing else None

    async def close(self) -> None:
        await self._engine.dispose()

    @asynccontextmanager
    async def _its_turn(self) -> AsyncGenerator[None]:
        """Let one SQLite writer in at a time, first come, first served.

        SQLite itself makes waiting writers poll with growing pauses, so newer ones overtake them until they time out:
        with a backlog of some hundred events billing settled one session per second.
        """
        if self._turn is None:
            yield
            return
        try:
            async with asyncio.timeout(_STATEMENT_S):
                await self._turn.acquire()
        except TimeoutError as error:
            raise LedgerUnavailable(f"{self.shown}: other writes took more than {_STATEMENT_S:g} s") from error
        try:
            yield
        finally:
            self._turn.release()

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncGenerator[AsyncConnection]:
        try:
            async with asyncio.timeout(_STATEMENT_S), engine.begin() as connection:
                yield connection
        except (DBAPIError, PoolTimeoutError) as error:
            # Every error is retried: a primary that became a standby (25006) or a lost grant (42501) is repaired some
            # day, and treating one class of errors as final would lose bills.
            raise LedgerUnavailable(f"{self.shown}: {_first_line(getattr(error, 'orig', None) or error)}") from error
        except TimeoutError as error:
            raise LedgerUnavailable(f"{self.shown}: no answer in {_STATEMENT_S:g} s") from error
        except OSError as error:
            raise LedgerUnavailable(f"{self.shown}: {_first_line(error)}") from error


def _engine(url: URL) -> AsyncEngine:
    if url.drivername.startswith("postgresql"):
        address, arguments = _postgresql(url)
        return create_async_engine(
            address,
            pool_size=_POOL,
            max_overflow=0,
            pool_timeout=_CONNECT_S,
            pool_pre_ping=True,
            connect_args=arguments,
        )
    engine = create_async_engine(url, pool_size=_POOL, max_overflow=0, pool_timeout=_CONNECT_S)
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL) -> tuple[URL, dict[str, Any]]:
    """Split off the parameters: asyncpg takes some as arguments and the TLS ones in a DSN.

    asyncpg has no channel binding. Its purpose, to prevent a man in the middle, is met by a verified certificate, so
    `channel_binding=require` becomes `sslmode=verify-full`, with the system's authorities unless `sslrootcert` is set.
    """
    given = {name: str(value) for name, value in url.query.items() if name not in ("host", "port")}
    arguments: dict[str, Any] = {"timeout": _CONNECT_S, "command_timeout": _STATEMENT_S}
    if wait := int(given.pop("connect_timeout", 0)):
        arguments["timeout"] = min(float(wait), _STATEMENT_S)
    # PgBouncer in transaction mode runs each transaction on another server connection, where an earlier prepared
    # statement is unknown and its name may belong to another client.
    for name in _SIZES:
        arguments[name] = int(given.pop(name, 0))
    arguments["prepared_statement_name_func"] = _statement_name
    session = {name: given.pop(name) for name in ("application_name", "options") if name in given}
    arguments["server_settings"] = {"application_name": "greenroom-billing"} | session
    if given.pop("channel_binding", "") == "require":
        given = given | {"sslmode": "verify-full", "sslrootcert": given.get("sslrootcert", SYSTEM)}
    if attributes := given.pop("target_session_attrs", None):
        arguments["target_session_attrs"] = attributes
    if given.get("sslrootcert") == SYSTEM:
        arguments["ssl"] = _checked_by_the_system(given)
    elif given:
        arguments["dsn"] = f"postgresql://?{urlencode(given)}"
    return url.difference_update_query([name for name in url.query if name not in ("host", "port")]), arguments


def _statement_name() -> str:
    return f"greenroom_{uuid4().hex}"


def _checked_by_the_system(given: dict[str, str]) -> ssl.SSLContext:
    """As in libpq, `sslrootcert=system` means `sslmode=verify-full`. With a context, asyncpg ignores TLS parameters."""
    context = ssl.create_default_context()
    context.minimum_version = _tls_version(given.get("ssl_min_protocol_version", "TLSv1.2"))
    if "ssl_max_protocol_version" in given:
        context.maximum_version = _tls_version(given["ssl_max_protocol_version"])
    if "sslcrl" in given:
        context.load_verify_locations(given["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    if "sslcert" in given:
        context.load_cert_chain(given["sslcert"], given.get("sslkey"), password=given.get("sslpassword", ""))
    return context


def _tls_version(name: str) -> ssl.TLSVersion:
    return ssl.TLSVersion[name.replace(".", "_")]


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # `_begin_sqlite` opens transactions, not the driver
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = FULL")  # in WAL mode the default may lose a commit in a power failure
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    statement = str(connection.get_execution_options().get("begin", "BEGIN"))
    if statement:
        connection.exec_driver_sql(statement)


def _exists(url: URL) -> bool:
    return Path(url.database or "").exists()


def _is_busy(error: BaseException | None) -> bool:
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


def _has_versions(connection: Connection) -> bool:
    return inspect(connection).has_table("alembic_version")


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
