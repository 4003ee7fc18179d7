"""The doctor, on real servers: what is well, what is broken, and how to fix it."""

import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis.nats import Bus
from chassis.nats.kv.lease import Lease
from contracts.errors import FORBIDDEN, UNAUTHORIZED, ProblemType
from contracts.streams import BUCKETS, LEADERS, STREAMS
from greenroom_cli.doctor.check import Check, Verdict, worst
from greenroom_cli.doctor.clocks import check_clocks
from greenroom_cli.doctor.machine import check_machine
from greenroom_cli.doctor.servers import check_servers
from greenroom_cli.doctor.services import check_services
from greenroom_cli.settings import Settings
from greenroom_cli.stack import SERVERS, Part, StackOptions, running_stack
from greenroom_cli.stack.ports import free_ports
from tests.integration.cli.stand_in_gateway import stand_in_gateway
from tests.support.servers import NatsServer


async def servers(environment: Mapping[str, str]) -> dict[str, Check]:
    return {check.name: check for check in await check_servers(Settings.of(environment), environment, {})}


async def scheduler(environment: Mapping[str, str]) -> Check:
    with stand_in_gateway() as gateway:
        named = {"GREENROOM_URL": gateway.url, **environment}
        found = await check_services(Settings.of(named), named, {}, stack_is_running=False)
    return next(check for check in found if check.name == "scheduler")


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    options = StackOptions(parts=SERVERS | {Part.POSTGRES})
    async with running_stack(tmp_path, options) as stack:
        yield dict(stack.environment)


async def test_a_running_stack_is_well_and_tells_the_time(environment: dict[str, str]) -> None:
    clocks: dict[str, float] = {}
    found = await check_servers(Settings.of(environment), environment, clocks)

    assert set(clocks) == {"LiveKit", "Redis"}
    assert [check.verdict for check in check_clocks(clocks)] == [Verdict.OK]
    checks = {check.name: check for check in found}
    assert worst(list(checks.values())) is Verdict.OK
    assert "JetStream" in checks["NATS"].detail
    assert "PostgreSQL 18" in checks["SQL"].detail
    password = environment["DATABASE_URL"].split(":")[2].partition("@")[0]
    assert password not in checks["SQL"].detail


async def test_each_services_own_users_find_a_confined_backplane_well(tmp_path: Path) -> None:
    async with running_stack(tmp_path, StackOptions(parts={Part.NATS, Part.REDIS})) as stack:
        keys, addresses = stack.folder.keys(), stack.environment
        operator = await Bus.connect(addresses["NATS_URL"], name="operator", graceful_timeout_s=1)
        await operator.ensure(STREAMS, BUCKETS)
        assert await Lease(operator.bucket(LEADERS), "scheduler", "test", ttl_s=30).acquire()
        streams = f"JetStream with {len(STREAMS) + len(BUCKETS)} stream"
        for user, password in keys.nats.items():
            url = addresses["NATS_URL"].replace(f"operator:{keys.nats['operator']}", f"{user}:{password}")
            check = (await servers({"NATS_URL": url}))["NATS"]
            assert (check.verdict, streams in check.detail) == (Verdict.OK, True), f"{user}: {check}"
            leads = await scheduler({"NATS_URL": url})
            if user in ("gateway", "scheduler", "operator"):
                assert leads.verdict is Verdict.OK, f"{user}: {leads}"
            else:
                assert leads.verdict is Verdict.UNCHECKED
                assert "the user may not publish to $JS.API.STREAM.MSG.GET.KV_leaders" in leads.detail
        for user, password in keys.redis.items():
            url = addresses["REDIS_URL"].replace(f"operator:{keys.redis['operator']}", f"{user}:{password}")
            check = (await servers({"REDIS_URL": url}))["Redis"]
            assert check.verdict is Verdict.OK, f"{user}: {check}"
        await operator.close()


async def test_a_user_who_may_not_look_is_told_what_to_grant(nats_server: NatsServer) -> None:
    nats_server.configure('authorization { users: [{ user: bob, password: x, permissions { publish: "voice.>" } }] }')
    nats_server.restart()

    check = (await servers({"NATS_URL": nats_server.url.replace("//", "//bob:x@")}))["NATS"]

    assert check.verdict is Verdict.BROKEN
    assert "the user may not publish to $JS.API.INFO" in check.detail
    assert "permissions" in check.fix


async def test_a_clock_that_is_90_s_ahead_is_not_called_a_wrong_key(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greenroom_cli.doctor.livekit.time", SimpleNamespace(time=lambda: time.time() + 90))
    clocks: dict[str, float] = {}

    found = await check_servers(Settings.of(environment), environment, clocks)

    assert {check.verdict for check in found if check.name == "LiveKit"} == {Verdict.OK}
    (apart,) = [check for check in check_clocks(clocks) if check.verdict is Verdict.BROKEN]
    assert "s ahead of LiveKit's" in apart.detail


@pytest.mark.parametrize("is_named", [True, False])
async def test_a_gateway_that_is_not_there_is_broken_only_when_it_is_meant_to_be(is_named: bool) -> None:
    url = f"http://127.0.0.1:{next(free_ports())}"
    environment = {"GREENROOM_URL": url} if is_named else {}

    checks = {
        check.name: check
        for check in await check_services(Settings.of({"GREENROOM_URL": url}), environment, {}, stack_is_running=False)
    }

    assert checks["gateway"].verdict is (Verdict.BROKEN if is_named else Verdict.UNCHECKED)
    assert {checks[name].verdict for name in ("scheduler", "billing", "nodes")} == {Verdict.UNCHECKED}


@pytest.mark.parametrize(
    ("refuses", "verdict", "fix"),
    [
        (
            UNAUTHORIZED,
            Verdict.BROKEN,
            "set GREENROOM_API_KEY to a key of that gateway, or name another stack's folder with --state",
        ),
        (FORBIDDEN, Verdict.UNCHECKED, "set GREENROOM_API_KEY to a key of that gateway with this scope"),
    ],
)
async def test_a_missing_key_is_broken_and_a_missing_scope_leaves_something_unchecked(
    refuses: ProblemType, verdict: Verdict, fix: str
) -> None:
    with stand_in_gateway() as gateway:
        gateway.refuses = refuses
        environment = {"GREENROOM_URL": gateway.url}
        found = await check_services(Settings.of(environment), environment, {}, stack_is_running=False)

    checks = {check.name: check for check in found}
    assert {(checks[name].verdict, checks[name].fix) for name in ("billing", "nodes")} == {(verdict, fix)}


async def test_what_the_gateway_says_of_the_others_is_reported() -> None:
    clocks: dict[str, float] = {}
    with stand_in_gateway() as gateway:
        environment = {"GREENROOM_URL": gateway.url, "NATS_URL": f"nats://127.0.0.1:{next(free_ports())}"}
        found = await check_services(Settings.of(environment), environment, clocks, stack_is_running=False)

    checks = {check.name: check for check in found}
    assert checks["gateway"].verdict is Verdict.OK
    assert checks["nodes"].verdict is Verdict.WARNING
    assert "0 free slot(s)" in checks["nodes"].detail, "its only node drains"
    assert checks["billing"].verdict is Verdict.BROKEN
    assert checks["scheduler"].verdict is Verdict.UNCHECKED
    assert abs(clocks["the gateway"]) < 5


async def test_no_leader_is_a_broken_scheduler(bus: Bus, nats_url: str) -> None:
    assert (await scheduler({"NATS_URL": nats_url})).verdict is Verdict.BROKEN
    lease = Lease(bus.bucket(LEADERS), "scheduler", "test", ttl_s=5)
    assert await lease.acquire()
    assert (await scheduler({"NATS_URL": nats_url})).verdict is Verdict.OK
    await lease.release()
    assert (await scheduler({"NATS_URL": nats_url})).verdict is Verdict.BROKEN


async def test_a_wrong_livekit_secret_is_named_with_its_fix(environment: dict[str, str]) -> None:
    livekit = (await servers({**environment, "LIVEKIT_API_SECRET": "x" * 32}))["LiveKit"]

    assert livekit.verdict is Verdict.BROKEN
    assert "refuses the credentials" in livekit.detail
    assert "LIVEKIT_API_SECRET" in livekit.fix


async def test_a_hosted_databases_url_is_read_as_billing_reads_it(environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"].replace("+asyncpg", "")

    async def sql(parameters: str) -> Check:
        return (await servers({"DATABASE_URL": f"{url}?{parameters}"}))["SQL"]

    plain = await sql("sslmode=prefer&channel_binding=prefer&connect_timeout=3")
    assert (plain.verdict, "PostgreSQL 18" in plain.detail) == (Verdict.OK, True), plain
    for encrypted in ("sslmode=require&channel_binding=require", "sslmode=verify-full&sslrootcert=system"):
        refused = await sql(encrypted)
        assert refused.verdict is Verdict.BROKEN
        assert "SSL" in refused.detail, "this server has no TLS, and that is all that is wrong"


async def test_a_wrong_database_password_is_named(environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"].replace("//postgres:", "//postgres:wrong")
    sql = (await servers({**environment, "DATABASE_URL": url}))["SQL"]

    assert sql.verdict is Verdict.BROKEN
    assert "password authentication failed" in sql.detail
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
    assert {check.verdict for check in (await servers({})).values()} == {Verdict.UNCHECKED}


async def test_sqlite_is_checked_for_writing(tmp_path: Path) -> None:
    sql = (await servers({"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/billing.sqlite"}))["SQL"]

    assert sql.verdict is Verdict.OK


def test_a_missing_livekit_server_program_is_broken(tmp_path: Path) -> None:
    environment = {"LIVEKIT_SERVER_BIN": str(tmp_path / "absent")}
    checks = {check.name: check for check in check_machine(environment, tmp_path, stack_is_running=False)}

    assert checks["livekit-server"].verdict is Verdict.BROKEN
    assert checks["Python"].detail == sys.version.split()[0]


async def test_nats_is_reached_as_the_services_reach_it(nats_server: NatsServer, bus: Bus) -> None:
    assert await Lease(bus.bucket(LEADERS), "scheduler", "test", ttl_s=30).acquire()
    await bus.close()
    nats_server.configure('authorization { user: bob, password: "p@ss" }')
    nats_server.restart()
    environment = {"NATS_URL": nats_server.url.replace("//", "//bob:p%40ss@")}

    check = (await servers(environment))["NATS"]

    assert (check.verdict, "JetStream" in check.detail) == (Verdict.OK, True)
    assert (await scheduler(environment)).verdict is Verdict.OK


@pytest.mark.parametrize("variable", ["NATS_URL", "REDIS_URL"])
async def test_a_url_that_cannot_be_read_is_named_without_its_password(variable: str) -> None:
    environment = {variable: f"{'nats' if variable == 'NATS_URL' else 'redis'}://bob:hunter2/x@host:1"}

    found = await check_servers(Settings.of(environment), environment, {})

    (check,) = [check for check in found if check.verdict is Verdict.BROKEN]
    assert variable in check.detail
    assert "hunter2" not in check.detail + check.fix
