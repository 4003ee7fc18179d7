"""The servers of the local stack, each on a loopback port, with its data in the state folder."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from greenroom_cli.errors import CommandError
from greenroom_cli.stack import binaries
from greenroom_cli.stack.full_disk import FullDisk
from greenroom_cli.stack.nats_store import move_to_account
from greenroom_cli.stack.ports import LOOPBACK
from greenroom_cli.stack.private_file import write_private
from greenroom_cli.stack.process import SHIM, ProcessSpec
from greenroom_cli.stack.readiness import says, serves

INITDB_S = 60.0
# nats-server reads its whole store before it listens; on a slow disk some GB take longer than a service's start.
NATS_READY_S = 120.0
POSTGRES_DATABASE = "greenroom"
POSTGRES_USER = "postgres"


def nats(
    folder: Path, port: int, passwords: Mapping[str, str], environment: Mapping[str, str], *, limit: int
) -> ProcessSpec:
    """JetStream on disk, synchronised at each message: a killed server loses no acknowledged message.

    Args:
        passwords: By user; each user may use its own subjects only.
        limit: Bytes that all streams may reserve, whatever is free, since the disk was checked before.
    """
    from contracts.server_config import nats_accounts  # takes 0.2 s, so it is imported here
    from contracts.users import ACCOUNT, NATS_USERS

    configuration = folder / "nats.conf"
    store = folder / "nats"
    move_to_account(store, ACCOUNT)
    listen = f'listen: "{LOOPBACK}:{port}"\nserver_name: greenroom\n'
    place = json.dumps(str(store))
    jetstream = f"jetstream {{ store_dir: {place}, sync_interval: always, max_file_store: {limit} }}\n"
    accounts = nats_accounts(NATS_USERS, {user: json.dumps(password) for user, password in passwords.items()})
    write_private(configuration, listen + jetstream + accounts)
    return ProcessSpec(
        name="nats",
        command=(str(binaries.nats_server()), "-c", str(configuration)),
        environment=environment,
        ready=says(port, b"INFO "),
        ready_timeout_s=NATS_READY_S,
        restarts=True,
        why_restart=FullDisk(folder / "logs" / "nats.log", store).why_restart,
    )


def nats_url(port: int, user: str, password: str) -> str:
    return f"nats://{user}:{password}@{LOOPBACK}:{port}"


def redis(folder: Path, port: int, passwords: Mapping[str, str], environment: Mapping[str, str]) -> ProcessSpec:
    """The read model: with an append-only file, without eviction.

    Args:
        passwords: By user; each user may use its own keys only.
    """
    from contracts.server_config import redis_users
    from contracts.users import OPERATOR, REDIS_USERS

    data = folder / "redis"
    data.mkdir(exist_ok=True)
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    configuration = folder / "redis.conf"
    lines = "".join(f"{key} {json.dumps(value)}\n" for key, value in settings.items())
    write_private(configuration, lines + redis_users(REDIS_USERS, passwords))
    return ProcessSpec(
        name="redis",
        command=(str(binaries.redis_server()), str(configuration)),
        environment=environment,
        ready=says(port, b"+OK\r\n+PONG", f"AUTH {OPERATOR} {passwords[OPERATOR]}\r\nPING\r\n".encode()),
        restarts=True,
    )


def redis_url(port: int, user: str, password: str) -> str:
    return f"redis://{user}:{password}@{LOOPBACK}:{port}/0"


def livekit(
    folder: Path,
    *,
    port: int,
    rtc_tcp_port: int,
    rtc_udp_port: int,
    key: str,
    secret: str,
    webhook_url: str | None,
    environment: Mapping[str, str],
    program: str | None,
) -> ProcessSpec:
    """Media on loopback only; rooms must be created explicitly (`auto_create` would reopen ended rooms).

    Args:
        program: The user's livekit-server, if given.
    """
    configuration = folder / "livekit.yaml"
    content = {
        "port": port,
        "bind_addresses": [LOOPBACK],
        "rtc": {
            "node_ip": LOOPBACK,
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "interfaces": {"includes": ["lo"]},
            "tcp_port": rtc_tcp_port,
            "udp_port": rtc_udp_port,
        },
        "room": {"auto_create": False},
        "keys": {key: secret},
        "webhook": {"api_key": key, "urls": [webhook_url] if webhook_url else []},
        "logging": {"level": "info", "json": True},
    }
    write_private(configuration, json.dumps(content, indent=2))  # JSON is valid YAML
    return ProcessSpec(
        name="livekit",
        command=(str(binaries.livekit_server(program)), "--config", str(configuration)),
        environment=environment,
        ready=serves(f"http://{LOOPBACK}:{port}/"),
        restarts=True,
        # It would wait until its rooms are closed, which is useless when everything stops.
        stop_timeout_s=1.0,
    )


async def postgres(folder: Path, port: int, password: str, environment: Mapping[str, str]) -> ProcessSpec:
    """PostgreSQL 18 over TCP with a password; the cluster is created at first use.

    Raises:
        CommandError: The cluster could not be created.
    """
    data = folder / "postgres"
    if not data.exists():
        await _make_cluster(folder, data, password, environment)
    status = data / "postmaster.pid"
    options = {"listen_addresses": LOOPBACK, "port": str(port), "unix_socket_directories": ""}
    status.unlink(missing_ok=True)  # left by a killed run; the state folder's lock excludes another user

    async def ready() -> str | None:
        lines = status.read_text().splitlines() if status.exists() else []
        return None if lines and lines[-1].strip() == "ready" else "it is still starting"

    return ProcessSpec(
        name="postgres",
        command=(
            *(str(binaries.postgres()), "-D", str(data)),
            *(word for key, value in options.items() for word in ("-c", f"{key}={value}")),
        ),
        environment=environment,
        ready=ready,
        as_nobody=os.geteuid() == 0,
        restarts=True,
    )


def postgres_url(port: int, password: str) -> str:
    return f"postgresql+asyncpg://{POSTGRES_USER}:{password}@{LOOPBACK}:{port}/{POSTGRES_DATABASE}"


async def _make_cluster(folder: Path, data: Path, password: str, environment: Mapping[str, str]) -> None:
    """Run initdb and create the database aside, then rename the folder, so that an interrupted run starts over."""
    draft = folder / "postgres.new"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    password_file = folder / "postgres.password"
    write_private(password_file, password)
    as_root = os.geteuid() == 0
    if as_root:
        nobody = 65534
        os.chown(draft, nobody, nobody)
        os.chown(password_file, nobody, nobody)
    initdb = (
        *(str(binaries.postgres("initdb")), "-D", str(draft), "-U", POSTGRES_USER, "--encoding=utf8", "--locale=C"),
        *("--auth=scram-sha-256", f"--pwfile={password_file}"),
    )
    create = (str(binaries.postgres()), "--single", "-D", str(draft), "postgres")
    options = (str(os.getpid()), *(["--drop-root"] if as_root else []))
    try:
        for command, text in ((initdb, b""), (create, f"CREATE DATABASE {POSTGRES_DATABASE};\n".encode())):
            await _run((sys.executable, "-I", "-S", str(SHIM), *options, "--", *command), text, environment)
    finally:
        password_file.unlink()
    draft.rename(data)


async def _run(command: tuple[str, ...], text: bytes, environment: Mapping[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(environment)
    )
    try:
        async with asyncio.timeout(INITDB_S):
            output, _ = await process.communicate(text)
    except TimeoutError:
        raise CommandError(f"PostgreSQL's initdb took more than {INITDB_S:g} s", "is the disk very slow?") from None
    finally:
        if process.returncode is None:  # too slow, or Ctrl-C
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = output.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise CommandError(f"PostgreSQL's initdb failed: {last[0]}", "remove the state folder's postgres and try again")
