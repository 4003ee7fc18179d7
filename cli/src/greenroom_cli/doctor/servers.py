"""NATS, Redis, LiveKit and the database: they answer, and accept the configured credentials."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from chassis.nats import BusUnavailable
from chassis.nats.errors import GRANT_IT, NotPermitted
from chassis.redaction import without_identity
from chassis.urls import check_redis_url
from greenroom_cli.doctor.check import START, Broken, Check, Verdict
from greenroom_cli.doctor.clocks import Clocks
from greenroom_cli.doctor.livekit import check_livekit
from greenroom_cli.doctor.nats_client import ANSWER_S, nats_reached
from greenroom_cli.settings import Settings

GROUP = "servers"
LIMIT_S = 5.0


async def check_servers(settings: Settings, environment: Mapping[str, str], clocks: Clocks) -> list[Check]:
    """Check the servers of the environment, or of the running stack; `greenroom up` starts the others."""

    async def livekit() -> list[Check]:
        return await check_livekit(settings, GROUP, START, clocks)

    probes: dict[str, tuple[str, Callable[[], Awaitable[list[Check]]]]] = {
        "NATS": ("NATS_URL", lambda: _fine("NATS", _nats(settings))),
        "Redis": ("REDIS_URL", lambda: _fine("Redis", _redis(settings, clocks))),
        "LiveKit": ("LIVEKIT_URL", livekit),
        "SQL": ("DATABASE_URL", lambda: _fine("SQL", _sql(settings))),
    }
    found = await asyncio.gather(
        *(_check(name, variable, probe, environment) for name, (variable, probe) in probes.items())
    )
    return [check for checks in found for check in checks]


async def _fine(name: str, probe: Awaitable[str]) -> list[Check]:
    return [Check(GROUP, name, Verdict.OK, await probe)]


async def _check(
    name: str, variable: str, probe: Callable[[], Awaitable[list[Check]]], environment: Mapping[str, str]
) -> list[Check]:
    if variable not in environment:
        detail = (
            f"{variable} is not set and no stack runs here; name its folder with --state, or start one: greenroom up"
        )
        return [Check(GROUP, name, Verdict.UNCHECKED, detail)]
    try:
        async with asyncio.timeout(LIMIT_S):
            return await probe()
    except Broken as error:
        return [Check(GROUP, name, Verdict.BROKEN, str(error), error.fix)]
    except TimeoutError:
        return [Check(GROUP, name, Verdict.BROKEN, f"no answer within {LIMIT_S:g} s", f"check {variable}; {START}")]


async def _nats(settings: Settings) -> str:
    async with nats_reached(settings) as bus:
        try:
            streams = await bus.account_streams(deadline_s=ANSWER_S)
        except NotPermitted as error:
            raise Broken(f"{bus.url}: {error.refusal}", GRANT_IT) from None
        except BusUnavailable as error:
            fix = "start nats-server with: jetstream { store_dir: ..., sync_interval: always }"
            raise Broken(f"it has no JetStream: {error.doing}", fix) from None
        return f"{bus.url}, JetStream with {streams} stream(s)"


async def _redis(settings: Settings, clocks: Clocks) -> str:
    """Use only commands that a service's user may use; read the clock if the user may."""
    try:
        url = check_redis_url(settings.redis_url)
        redis = Redis.from_url(url, decode_responses=True, socket_connect_timeout=LIMIT_S)
    except ValueError as error:
        raise Broken(f"REDIS_URL: {error}", "set REDIS_URL to redis://[user:password@]host:port/db") from None
    shown = without_identity(url)
    try:
        await redis.execute_command("PING")
        with suppress(NoPermissionError):
            seconds, us = await redis.time()
            clocks["Redis"] = time.time() - seconds - us / 1e6
        return f"{shown}, it answers"
    except (RedisError, OSError) as error:
        raise Broken(f"{shown}: {error}", f"check REDIS_URL; {START}") from None
    finally:
        await redis.aclose()


async def _sql(settings: Settings) -> str:
    """Open the ledger's database with billing's own parser of DATABASE_URL."""
    from billing.adapters.database import Database  # takes 0.3 s, so it is imported here
    from billing.database_url import read_database_url
    from billing.ports import LedgerUnavailable

    try:
        url = read_database_url(settings.database_url)
    except ValueError as error:
        raise Broken(
            f"DATABASE_URL: {error}", "use sqlite+aiosqlite:///PATH or postgresql+asyncpg://USER:PASSWORD@HOST:PORT/DB"
        ) from None
    if url.drivername.startswith("sqlite"):
        return _sqlite(Path(url.database or ""))
    database = Database(url)
    try:
        async with database.reading() as connection:
            version = (await connection.exec_driver_sql("show server_version")).scalar()
        return f"{database.shown}, PostgreSQL {version}"
    except LedgerUnavailable as error:
        raise Broken(error.reason, f"check DATABASE_URL; {START}") from None
    finally:
        await database.close()


def _sqlite(path: Path) -> str:
    if not path.parent.is_dir():
        raise Broken(f"{path.parent} is not a folder", "make it, or correct DATABASE_URL")
    try:
        connection = sqlite3.connect(path, timeout=1)
        try:
            # Takes the write lock, which a file system without locks or a full disk refuses, but writes nothing.
            connection.execute("begin immediate")
            connection.rollback()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Broken(
            f"{path}: {error}", "check the folder's permissions and free space, or correct DATABASE_URL"
        ) from None
    return f"SQLite {sqlite3.sqlite_version}, {path}"
