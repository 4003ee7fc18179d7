"""NATS, Redis, LiveKit and the database: reachable, and with the credentials that are configured."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportPrivateImportUsage=false

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import asyncpg  # pyright: ignore[reportMissingTypeStubs]
from chassis.access import NatsAccess
from chassis.nats import BusRefused
from chassis.nats.client import RecordingClient, options_of
from chassis.urls import check_redis_url
from nats.errors import Error as NatsError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from greenroom_cli.doctor.check import Check, Verdict
from greenroom_cli.doctor.clocks import Clocks
from greenroom_cli.doctor.livekit import check_livekit
from greenroom_cli.settings import Settings

GROUP = "servers"
LIMIT_S = 5.0
START = "start it, or a local one with: greenroom up"


class _Broken(Exception):
    """A server does not do what it should.

    Attributes:
        fix: What to do about it.
    """

    def __init__(self, detail: str, fix: str) -> None:
        super().__init__(detail)
        self.fix = fix


async def check_servers(settings: Settings, environment: Mapping[str, str], clocks: Clocks) -> list[Check]:
    """Check what the environment (or the running stack) names; what it does not name, `greenroom up` will start."""

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
        detail = f"{variable} is not set and no stack runs here; greenroom up starts one"
        return [Check(GROUP, name, Verdict.UNCHECKED, detail)]
    try:
        async with asyncio.timeout(LIMIT_S):
            return await probe()
    except _Broken as error:
        return [Check(GROUP, name, Verdict.BROKEN, str(error), error.fix)]
    except TimeoutError:
        return [Check(GROUP, name, Verdict.BROKEN, f"no answer within {LIMIT_S:g} s", f"check {variable}; {START}")]


async def _nats(settings: Settings) -> str:
    errors: list[Exception] = []

    async def remember(error: Exception) -> None:
        errors.append(error)

    try:
        access = NatsAccess.of(
            settings.nats_url,
            creds=settings.nats_creds,
            nkey_seed=settings.nats_nkey_seed_file,
            ca=settings.nats_ca_file,
            cert=settings.nats_cert_file,
            key=settings.nats_key_file,
        )
        client, identity = RecordingClient(must_encrypt=access.must_encrypt), options_of(access)
    except ValueError as error:
        raise _Broken(f"NATS_URL: {error}", "correct NATS_URL") from None
    except BusRefused as error:
        raise _Broken(error.cause, error.fix) from None
    try:
        await client.connect(
            list(access.servers),
            **identity,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=2,
            error_cb=remember,
        )
    except (OSError, NatsError, ValueError) as error:
        raise _Broken(f"{access.shown}: {errors[-1] if errors else error}", f"check NATS_URL; {START}") from None
    try:
        account = await client.jetstream().account_info()
        return f"{access.shown}, JetStream with {account.streams} stream(s)"
    except NatsError as error:
        fix = "start nats-server with: jetstream { store_dir: ..., sync_interval: always }"
        raise _Broken(f"it has no JetStream: {error}", fix) from None
    finally:
        await client.close()


async def _redis(settings: Settings, clocks: Clocks) -> str:
    try:
        url = check_redis_url(settings.redis_url)
    except ValueError as error:
        raise _Broken(f"REDIS_URL: {error}", "set REDIS_URL to redis://[user:password@]host:port/db") from None
    redis = Redis.from_url(url, decode_responses=True, socket_connect_timeout=LIMIT_S)
    try:
        about = await redis.info("server")
        told_us = about.get("server_time_usec")
        if told_us is not None:
            clocks["Redis"] = time.time() - int(told_us) / 1e6
        return f"{_shown(settings.redis_url)}, version {about['redis_version']}"
    except (RedisError, OSError) as error:
        raise _Broken(f"{_shown(settings.redis_url)}: {error}", f"check REDIS_URL; {START}") from None
    finally:
        await redis.aclose()


async def _sql(settings: Settings) -> str:
    scheme, _, rest = settings.database_url.partition("://")
    dialect = scheme.partition("+")[0]
    if dialect == "sqlite":
        return _sqlite(Path(rest.removeprefix("/")) if rest.startswith("/") else Path(rest))
    if dialect not in ("postgresql", "postgres"):
        raise _Broken(
            f"DATABASE_URL begins with {scheme}://", "use sqlite+aiosqlite:///PATH or postgresql+asyncpg://..."
        )
    try:
        connection = await asyncpg.connect(f"{dialect}://{rest}", timeout=int(LIMIT_S))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise _Broken(f"{_shown(f'{dialect}://{rest}')}: {error}", f"check DATABASE_URL; {START}") from None
    try:
        version: str = await connection.fetchval("show server_version")
        return f"{_shown(f'{dialect}://{rest}')}, PostgreSQL {version}"
    finally:
        await connection.close()


def _sqlite(path: Path) -> str:
    if not path.parent.is_dir():
        raise _Broken(f"{path.parent} is no folder", "make it, or correct DATABASE_URL")
    try:
        connection = sqlite3.connect(path, timeout=1)
        try:
            # Takes the write lock, which a file system without locks or a full disk refuses, and changes nothing.
            connection.execute("begin immediate")
            connection.rollback()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise _Broken(
            f"{path}: {error}", "check the folder's permissions and free space, or correct DATABASE_URL"
        ) from None
    return f"SQLite {sqlite3.sqlite_version}, {path}"


def _shown(url: str) -> str:
    """An address without its password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
