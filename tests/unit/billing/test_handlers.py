import pytest
from billing.domain.rating import Charge, Tariff
from billing.domain.usage import LoggedEvent
from billing.handlers import Reconciler, Settling
from billing.ports import LedgerUnavailable
from chassis.metrics import REGISTRY
from chassis.nats import Rejected, RetryLater, Stored
from structlog.testing import capture_logs

from tests.unit.billing.fakes import FakeLedger, FakeLog
from tests.unit.billing.logs import (
    SESSION,
    assigned,
    call,
    ended,
    log_of,
    ready,
    requested,
    started,
    stopped,
    tick,
)


def stored(record: LoggedEvent) -> Stored:
    return Stored(
        subject=record.event.subject, event=record.event, data=b"", seq=record.seq, stored_ms=record.stored_ms
    )


async def deliver(settling: Settling, *records: LoggedEvent) -> None:
    for record in records:
        await settling.on_event(record.event, stored(record))


async def test_an_end_is_settled_and_announced_once_however_often_it_is_delivered() -> None:
    log, ledger = FakeLog(call(61_000)), FakeLedger()
    settling = Settling(log, ledger, Tariff())
    end = next(r for r in log.records if r.event.event == "ended")

    await deliver(settling, end, end, end)

    assert len(ledger.entries) == 1
    assert [(b.seconds, b.minutes, b.credits) for b in log.announced] == [(61, 2, 2)]


async def test_events_of_a_session_that_goes_on_touch_nothing() -> None:
    log, ledger = FakeLog(call(61_000)[:-1]), FakeLedger()
    ledger.is_away = True  # it is not even asked

    await deliver(Settling(log, ledger, Tariff()), *log.records)

    assert not log.announced


async def test_a_backlog_is_settled_once_a_session_by_its_end() -> None:
    """Its ticks and all else that stands before the end come when the end is in the log already."""
    log, ledger = FakeLog(call(61_000)), FakeLedger()
    settling = Settling(log, ledger, Tariff())
    end = next(r for r in log.records if r.event.event == "ended")
    ledger.is_away = True  # it is not even asked

    await deliver(settling, *(r for r in log.records if r.seq < end.seq))
    ledger.is_away = False
    await deliver(settling, end)

    assert len(ledger.entries) == 1


async def test_what_comes_after_the_end_adds_an_entry_and_no_second_announcement() -> None:
    log, ledger = FakeLog(call(59_000)), FakeLedger()
    settling = Settling(log, ledger, Tariff())
    await deliver(settling, log.records[-1])

    late = LoggedEvent(event=stopped(65_000), stored_ms=log.records[-1].stored_ms + 1_000, seq=99)
    log.records.append(late)
    await deliver(settling, late, late)

    account = await ledger.account(SESSION)
    assert account is not None
    assert account.owed == Charge(65_000, 65, 2, 2)
    assert [e.kind for e in account.entries] == ["usage", "adjustment"]
    assert len(log.announced) == 1


async def test_a_death_between_commit_and_announcement_is_repaired_by_the_redelivery() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    settling = Settling(log, ledger, Tariff())
    await settling.settle(SESSION)
    log.records = [r for r in log.records if r.event.event != "billed"]

    await deliver(settling, log.records[-1])

    assert len(ledger.entries) == 1
    assert [b.model_dump_json() for b in log.announced[1:]] == [log.announced[0].model_dump_json()]


async def test_an_outage_backs_off_further_each_time_and_starts_anew_after_a_success() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    settling = Settling(log, ledger, Tariff())
    end = log.records[-1]
    ledger.is_away = True

    delays: list[float] = []
    for _ in range(8):
        with pytest.raises(RetryLater) as later:
            await deliver(settling, end)
        delays.append(later.value.delay_s)
    ledger.is_away = False
    await deliver(settling, end)
    ledger.is_away = True
    with pytest.raises(RetryLater) as anew:
        await deliver(settling, end)

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    assert anew.value.delay_s == 0.5


async def test_a_log_that_is_away_is_waited_for() -> None:
    log = FakeLog(call(30_000))
    log.is_away = True

    with pytest.raises(RetryLater):
        await deliver(Settling(log, FakeLedger(), Tariff()), log.records[-1])


async def test_an_end_whose_log_lost_its_beginning_is_a_dead_letter() -> None:
    log, ledger = FakeLog(call(30_000)[1:]), FakeLedger()

    with pytest.raises(Rejected, match="oldest messages are gone"):
        await deliver(Settling(log, ledger, Tariff()), log.records[-1])

    assert not ledger.settlements


async def test_a_change_of_the_tariff_leaves_settled_sessions_at_their_price() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    await Settling(log, ledger, Tariff(2)).settle(SESSION)

    log.records.append(LoggedEvent(event=stopped(61_000), stored_ms=log.records[-1].stored_ms + 1_000, seq=99))
    account = await Settling(log, ledger, Tariff(5)).settle(SESSION)

    assert [e.charge.credits for e in account.entries] == [2, 2]


async def test_the_reconciler_settles_an_end_that_nobody_delivered() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    now = log.records[-1].stored_ms / 1000 + 15
    reconciler = Reconciler(log, Settling(log, ledger, Tariff()), every_s=15, now=lambda: now)

    assert await reconciler.sweep() == [SESSION]
    assert await reconciler.sweep() == []
    assert len(log.announced) == 1


async def test_the_reconciler_leaves_fresh_ends_to_the_consumer() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    now = log.records[-1].stored_ms / 1000 + 1
    reconciler = Reconciler(log, Settling(log, ledger, Tariff()), every_s=15, now=lambda: now)

    assert await reconciler.sweep() == []
    assert not ledger.settlements


async def test_one_session_that_cannot_be_billed_holds_up_no_other() -> None:
    broken = log_of(ended(session="session_broken"), first_seq=1)
    log, ledger = FakeLog((*broken, *call(30_000))), FakeLedger()
    now = log.records[-1].stored_ms / 1000 + 60
    reconciler = Reconciler(log, Settling(log, ledger, Tariff()), every_s=15, now=lambda: now)

    assert await reconciler.sweep() == [SESSION]
    assert await reconciler.sweep() == []


async def test_an_end_that_was_seen_before_the_start_is_settled_by_the_whole_log() -> None:
    log = FakeLog(log_of(requested(), assigned(), ready(), tick(5_000), ended(0)))
    ledger = FakeLedger()
    settling = Settling(log, ledger, Tariff())

    await deliver(settling, log.records[-1], log.records[0], log.records[3])

    account = await ledger.account(SESSION)
    assert account is not None
    assert account.owed == Charge(0, 0, 0, 0)


async def test_the_reconciler_keeps_what_an_outage_left_unbilled() -> None:
    log, ledger = FakeLog(call(30_000)), FakeLedger()
    now = log.records[-1].stored_ms / 1000 + 60
    reconciler = Reconciler(log, Settling(log, ledger, Tariff()), every_s=15, now=lambda: now)
    ledger.is_away = True
    with pytest.raises(LedgerUnavailable):
        await reconciler.sweep()

    ledger.is_away = False

    assert await reconciler.sweep() == [SESSION]


async def test_an_id_that_was_used_again_after_the_log_forgot_it_is_a_dead_letter_and_never_announced() -> None:
    ledger = FakeLedger()
    await Settling(FakeLog(call(61_000)), ledger, Tariff()).settle(SESSION)
    kept = await ledger.account(SESSION)
    week_later = FakeLog(
        log_of(requested(), assigned(), ready(), started(), stopped(61_000), ended(61_000), first_seq=5_000)
    )
    before = REGISTRY.get_sample_value("billing_conflicts_total") or 0

    with capture_logs() as lines, pytest.raises(Rejected, match="another bill"):
        await deliver(Settling(week_later, ledger, Tariff()), week_later.records[-1])

    assert not week_later.announced
    assert await ledger.account(SESSION) == kept
    assert REGISTRY.get_sample_value("billing_conflicts_total") == before + 1
    assert [(line["event"], line["log_level"]) for line in lines] == [("session.bill_conflict", "error")]


async def test_the_reconciler_does_not_announce_a_bill_that_the_ledger_contradicts() -> None:
    ledger = FakeLedger()
    await Settling(FakeLog(call(61_000)), ledger, Tariff()).settle(SESSION)
    log = FakeLog(call(90_000))
    now = log.records[-1].stored_ms / 1000 + 60
    reconciler = Reconciler(log, Settling(log, ledger, Tariff()), every_s=15, now=lambda: now)

    assert await reconciler.sweep() == []
    assert await reconciler.sweep() == []
    assert not log.announced


async def test_the_entry_says_how_much_lies_beyond_the_grant() -> None:
    log = FakeLog(log_of(requested(), assigned(granted_minutes=1), ready(), started(), stopped(61_200), ended(60_000)))

    account = await Settling(log, FakeLedger(), Tariff()).settle(SESSION)

    assert account.entries[0].note == "served until the end (completed), without 1200 ms beyond its 1 granted minutes"
    assert (account.owed, account.settlement.difference_ms) == (Charge(60_000, 60, 1, 1), 0)


async def test_a_limit_that_an_older_scheduler_did_not_grant_bounds_the_bill_and_leaves_the_hash() -> None:
    def served(limit: int | None) -> FakeLog:
        return FakeLog(log_of(requested(limit=limit), assigned(), ready(), started(), stopped(61_200), ended(61_200)))

    unlimited = await Settling(served(None), FakeLedger(), Tariff()).settle(SESSION)
    limited = await Settling(served(1), FakeLedger(), Tariff()).settle(SESSION)

    assert (unlimited.owed.minutes, limited.owed.minutes) == (2, 1)
    assert limited.settlement.granted_minutes == 1
    assert limited.settlement.log_sha256 == unlimited.settlement.log_sha256
