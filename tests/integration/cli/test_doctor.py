"""The doctor, on real servers: what is well, what is broken, and how to fix it."""

import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from greenroom_cli.doctor.check import Check, Verdict, worst
from greenroom_cli.doctor.machine import check_machine
from greenroom_cli.doctor.servers import check_servers
from greenroom_cli.settings import Settings
from greenroom_cli.stack import SERVERS, Part, StackOptions, running_stack
from greenroom_cli.stack.ports import free_ports


async def servers(environment: Mapping[str, str]) -> dict[str, Check]:
    return {check.name: check for check in await check_servers(Settings.of(environment), environment)}


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    options = StackOptions(parts=SERVERS | {Part.POSTGRES})
    async with running_stack(tmp_path, options) as stack:
        yield dict(stack.environment)


async def test_a_running_stack_is_well(environment: dict[str, str]) -> None:
    checks = await servers(environment)

    assert worst(list(checks.values())) is Verdict.OK
    assert "JetStream" in checks["NATS"].detail
    assert "PostgreSQL 18" in checks["SQL"].detail
    password = environment["DATABASE_URL"].split(":")[2].partition("@")[0]
    assert password not in checks["SQL"].detail


async def test_a_wrong_livekit_secret_is_named_with_its_fix(environment: dict[str, str]) -> None:
    livekit = (await servers({**environment, "LIVEKIT_API_SECRET": "x" * 32}))["LiveKit"]

    assert livekit.verdict is Verdict.BROKEN
    assert "refuses the credentials" in livekit.detail
    assert "LIVEKIT_API_SECRET" in livekit.fix


async def test_a_wrong_database_password_is_named(environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"].replace(":", ":wrong", 2)
    sql = (await servers({**environment, "DATABASE_URL": url}))["SQL"]

    assert sql.verdict is Verdict.BROKEN
    assert "DATABASE_URL" in sql.fix


@pytest.mark.parametrize(
    ("variable", "url", "name"),
    [
        ("NATS_URL", "nats://127.0.0.1:{port}", "NATS"),
        ("REDIS_URL", "redis://127.0.0.1:{port}/0", "Redis"),
        ("DATABASE_URL", "postgresql+asyncpg://a:b@127.0.0.1:{port}/c", "SQL"),
        ("DATABASE_URL", "sqlite+aiosqlite:////nonexistent/folder/billing.sqlite", "SQL"),
        ("DATABASE_URL", "mysql://127.0.0.1:{port}/c", "SQL"),
        ("REDIS_URL", "http://127.0.0.1:{port}", "Redis"),
    ],
)
async def test_a_server_that_does_not_answer_is_broken(variable: str, url: str, name: str) -> None:
    check = (await servers({variable: url.format(port=next(free_ports()))}))[name]

    assert check.verdict is Verdict.BROKEN
    assert check.fix


async def test_an_unreachable_livekit_is_broken() -> None:
    url = f"ws://127.0.0.1:{next(free_ports())}"
    named = {"LIVEKIT_URL": url, "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s" * 32}

    check = (await servers(named))["LiveKit"]

    assert check.verdict is Verdict.BROKEN
    assert url in check.detail
    assert "LIVEKIT_URL" in check.fix


async def test_what_nothing_names_is_no_fault() -> None:
    assert {check.verdict for check in (await servers({})).values()} == {Verdict.NOTE}


async def test_sqlite_is_checked_for_writing(tmp_path: Path) -> None:
    sql = (await servers({"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/billing.sqlite"}))["SQL"]

    assert sql.verdict is Verdict.OK


def test_a_missing_livekit_server_program_is_broken(tmp_path: Path) -> None:
    environment = {"LIVEKIT_SERVER_BIN": str(tmp_path / "absent")}
    checks = {check.name: check for check in check_machine(environment, stack_is_running=False)}

    assert checks["livekit-server"].verdict is Verdict.BROKEN
    assert checks["Python"].detail == sys.version.split()[0]
