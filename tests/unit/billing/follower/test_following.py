from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from billing.domain.rating import Charge, Tariff
from billing.domain.usage import Recorded
from billing.follower.following import Following, LogReplaced
from billing.follower.settling import Settling
from billing.ports import Gap, Position
from contracts.events import Event, TimeLost
from tests.support.billing.fakes import FakeLedger, FakeLog
from tests.support.billing.logs import call, log_of
from tests.support.billing.scene import Scene, metric
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick


def behind(log: FakeLog, event: Event, *, seq: int = 99) -> Recorded:
    (record,) = log_of(event, first_seq=seq)
    return replace(record, stored_ms=log.records[-1].stored_ms + 1_000)


async def test_an_end_is_settled_and_announced_once_however_often_it_is_read() -> None:
    scene = Scene(call(61_000))
    for _ in range(3):
        scene.ledger.kept = None
        await scene.restart()

    assert len(scene.ledger.entries) == 1
    assert [(b.seconds, b.minutes, b.credits) for b in scene.log.announced] == [(61, 2, 2)]


async def test_a_session_that_goes_on_costs_no_read_of_the_log_and_one_look_up() -> None:
    scene = Scene(call(61_000)[:-2])
    await scene.restart()
    scene.ledger.is_away = True  # it is not even asked
    await scene.later(1, *(behind(scene.log, tick(62_000 + n), seq=200 + n) for n in range(9)))

    assert not scene.log.read
    assert not scene.ledger.entries


async def test_lost_time_is_counted_and_logged_once() -> None:
    end = call(61_000)
    lost = TimeLost(session_id=SESSION, time=end[0].event.time, epoch=2, billable_ms=83_400)
    scene = Scene(log_of(lost, *(record.event for record in end)))
    before = metric("billing_lost_seconds_total")

    with capture_logs() as lines:
        for _ in range(2):
            scene.ledger.kept = None
            await scene.restart()

    assert [(e["session_id"], e["lost_ms"]) for e in lines if e["event"] == "session.time_lost"] == [(SESSION, 83_400)]
    assert metric("billing_lost_seconds_total") == pytest.approx(before + 83.4)


async def test_a_settlement_reads_the_sessions_log_once_and_a_restart_not_at_all() -> None:
    scene = Scene(call(61_000))
    await scene.restart()
    scene.ledger.kept = None
    await scene.restart()

    assert scene.log.read == [SESSION]


async def test_what_comes_after_the_end_adds_an_entry_and_no_second_announcement() -> None:
    scene = Scene(call(59_000))
    await scene.restart()

    late = behind(scene.log, stopped(65_000))
    await scene.later(1, late)
    await scene.later(1, late)

    account = await scene.account()
    assert account.owed == Charge(65_000, 65, 2, 2)
    assert [e.kind for e in account.entries] == ["usage", "adjustment"]
    assert len(scene.log.announced) == 1


async def test_a_database_that_lost_its_rows_gets_them_back_at_the_price_of_the_time() -> None:
    scene = Scene(call(61_000), price=7)
    await scene.restart()
    before = await scene.account()

    again = Scene(scene.log.records, price=9)
    await again.restart()

    assert await again.account() == before
    assert again.log.announced == []


async def test_a_death_between_commit_and_announcement_is_repaired_at_the_next_start() -> None:
    scene = Scene(call(30_000))
    await scene.restart()
    scene.log.records = [r for r in scene.log.records if r.event.event != "billed"]
    scene.ledger.kept = None  # the position is written last

    await scene.restart()

    assert len(scene.ledger.entries) == 1
    assert [b.model_dump_json() for b in scene.log.announced[1:]] == [scene.log.announced[0].model_dump_json()]


@pytest.mark.parametrize("store", ["ledger", "log"])
async def test_an_outage_is_waited_for_as_long_as_it_lasts_and_nothing_is_forgotten(store: str) -> None:
    scene = Scene(call(30_000))
    start = await scene.following.begin()
    away = scene.ledger if store == "ledger" else scene.log
    away.is_away = True
    await scene.following.turn([r for r in scene.log.records if r.seq > start])
    for _ in range(50):
        await scene.later(3_600)

    assert await scene.following.readiness.reason() == "away"
    assert metric("billing_stuck_sessions") == metric("billing_unbilled_sessions") == 1
    assert metric("billing_oldest_unbilled_seconds") > 0
    away.is_away = False
    await scene.later()

    assert (await scene.account()).owed.minutes == 1
    assert await scene.following.readiness.reason() is None
    assert metric("billing_unbilled_sessions") == 0


async def test_retries_of_an_outage_are_spaced_further_each_time() -> None:
    scene = Scene(call(30_000))
    start = await scene.following.begin()
    scene.log.is_away = True
    await scene.following.turn([r for r in scene.log.records if r.seq > start])
    with capture_logs() as lines:
        for _ in range(100):
            await scene.later(1)

    assert 5 < [line["event"] for line in lines].count("billing.waiting") < 15


async def test_a_session_that_the_database_does_not_take_holds_up_no_other_and_is_never_forgotten() -> None:
    sessions = [f"session_{n}" for n in range(6)]
    logs = [log_of(*events(s), first_seq=100 * n) for n, s in enumerate(sessions, start=1)]
    scene = Scene(record for log in logs for record in log)
    scene.ledger.refused = {"session_0"}
    await scene.restart()

    assert set(scene.ledger.settlements_by_id) == set(sessions[1:])
    assert metric("billing_stuck_sessions") == 1
    await scene.later(3_600)
    await scene.later(3_600)
    assert scene.ledger.kept is not None
    assert scene.ledger.kept.seq < logs[0][-1].seq  # a restart reads it again
    assert not scene.log.buried

    scene.ledger.refused = set()
    await scene.later(3_600)

    assert set(scene.ledger.settlements_by_id) == set(sessions)
    assert scene.ledger.kept.seq == logs[-1][-1].seq


async def test_a_restart_with_a_stuck_session_changes_nothing_and_the_log_drops_it_in_the_end() -> None:
    sessions = [f"session_{n}" for n in range(300)]
    logs = [log_of(*events(s), first_seq=100 * n) for n, s in enumerate(sessions, start=1)]
    scene = Scene(record for log in logs for record in log)
    scene.ledger.refused = {"session_0"}
    await scene.restart()
    for _ in range(5):
        await scene.later(3_600)
    entries, announced = dict(scene.ledger.entries), len(scene.log.announced)
    assert announced == 299

    await scene.restart()
    for _ in range(5):
        await scene.later(3_600)
    assert await scene.following.readiness.reason() is None, "all others are billed"
    assert metric("billing_unbilled_sessions") == metric("billing_stuck_sessions") == 1
    assert (scene.ledger.entries, len(scene.log.announced), scene.log.buried) == (entries, announced, [])

    scene.log.records = [r for r in scene.log.records if r.event.session_id != "session_0"]  # by its age
    for _ in range(2):
        await scene.later(3_600)
    assert [cause.event.session_id for cause, _ in scene.log.buried] == ["session_0"]
    assert metric("billing_stuck_sessions") == 0
    assert scene.ledger.kept is not None
    assert scene.ledger.kept.seq == logs[-1][-1].seq


def events(session: str) -> list[Event]:
    return [requested(session), assigned(session_id=session), started(session_id=session), ended(session_id=session)]


async def test_an_end_whose_log_lost_its_beginning_is_a_dead_letter_and_holds_up_nothing() -> None:
    scene = Scene((*log_of(ended(session_id="session_broken"), first_seq=1), *call(30_000)))
    await scene.restart()
    await scene.later()

    ((cause, reason),) = scene.log.buried
    assert (cause.event.session_id, cause.event.event) == ("session_broken", "ended")
    assert "oldest messages are gone" in reason
    assert (await scene.account()).owed.minutes == 1
    assert scene.ledger.kept == Position(1, scene.log.records[-2].seq)


async def test_a_change_of_the_tariff_leaves_settled_sessions_at_their_price() -> None:
    ledger = FakeLedger()
    first = Scene(call(30_000), ledger=ledger, price=2)
    await first.restart()

    second = Scene(call(30_000), ledger=ledger, price=5)
    await second.restart()
    await second.later(1, behind(second.log, stopped(61_000)))

    assert [e.charge.credits for e in (await second.account()).entries] == [2, 2]


async def test_what_an_older_rule_settled_is_adjusted_by_that_rule() -> None:
    ledger = FakeLedger()
    log = log_of(requested(), assigned(), ready(), started(), stopped(36_000_000), ended(36_000_000), step_ms=1_000)
    scene = Scene(log, ledger=ledger)
    older = Settling(scene.log, ledger, Tariff(rule=1))
    scene.following = Following(scene.log, ledger, older, look_every_s=15, clock=lambda: scene.monotonic_s)
    await scene.restart()

    newer = Scene(scene.log.records, ledger=ledger)
    await newer.restart()
    await newer.later(1, behind(newer.log, tick(36_060_000)))

    assert [e.charge.minutes for e in (await newer.account()).entries] == [600, 1]


async def test_an_end_before_the_start_is_settled_at_nothing() -> None:
    scene = Scene(log_of(requested(), assigned(), ready(), tick(5_000), ended(0)))
    await scene.restart()

    assert (await scene.account()).owed == Charge(0, 0, 0, 0)


async def test_an_id_that_was_used_again_after_the_log_forgot_it_is_a_dead_letter_and_never_announced() -> None:
    ledger = FakeLedger()
    await Scene(call(61_000), ledger=ledger).restart()
    kept = await ledger.account(SESSION)
    again = log_of(requested(), assigned(), ready(), started(), stopped(61_000), ended(61_000), first_seq=5_000)
    week_later = Scene(again, ledger=ledger)
    ledger.kept = None
    before = metric("billing_conflicts_total")

    with capture_logs() as lines:
        await week_later.restart()

    assert not week_later.log.announced
    assert await ledger.account(SESSION) == kept
    assert metric("billing_conflicts_total") == before + 1
    assert [line["event"] for line in lines] == ["session.bill_conflict", "session.unbillable"]
    assert "another bill" in week_later.log.buried[0][1]


async def test_a_database_from_an_older_backup_gets_the_bills_that_it_lacks_and_no_second_of_any() -> None:
    sessions = [log_of(*events(f"session_{n}"), first_seq=100 * n) for n in (1, 2, 3)]
    scene = Scene(record for log in sessions for record in log)
    await scene.restart()
    complete = dict(scene.ledger.settlements_by_id), dict(scene.ledger.entries)
    restored = FakeLedger()
    restored.settlements_by_id = {"session_1": complete[0]["session_1"]}
    restored.entries = {i: e for i, e in complete[1].items() if e.session_id == "session_1"}
    restored.kept = Position(1, sessions[0][-1].seq)

    after = Scene(scene.log.records, ledger=restored)
    await after.restart()

    assert (restored.settlements_by_id, restored.entries) == complete
    assert len(after.log.announced) == 0  # they were, before the backup was restored


async def test_an_empty_database_is_made_again_from_the_log() -> None:
    scene = Scene(call(61_000))
    await scene.restart()

    empty = Scene(scene.log.records, ledger=FakeLedger())
    await empty.restart()

    assert (await empty.account()) == (await scene.account())
    assert not empty.ledger.gaps


async def test_what_the_log_dropped_before_it_was_read_is_an_alarm_with_its_range() -> None:
    scene = Scene(call(61_000))
    scene.ledger.kept = Position(1, 4)
    before = metric("billing_log_gap_messages_total")
    with capture_logs() as lines:
        await scene.restart()

    assert scene.ledger.gaps == [Gap(5, 9, 1_764_100_000_000)]
    assert metric("billing_log_gap_messages_total") == before + 5
    assert "log.gap" in [line["event"] for line in lines]
    assert await scene.following.readiness.reason() == "the log dropped its messages 5 to 9 before they were read"
    assert (await scene.account()).owed.minutes == 2
    await scene.later(601)
    assert await scene.following.readiness.reason() is None


async def test_a_gap_counts_once_even_if_the_ledger_is_unavailable_at_first() -> None:
    scene = Scene(call(61_000))
    await scene.restart()
    scene.log.records = list(log_of(*events("session_new"), first_seq=200))
    before = metric("billing_log_gap_messages_total")
    for scene.ledger.is_away in (True, False):
        await scene.following.look(is_idle=False)

    (gap,) = scene.ledger.gaps
    assert metric("billing_log_gap_messages_total") == before + gap.last_seq - gap.first_seq + 1


async def test_a_log_that_was_lost_and_made_again_is_read_from_its_beginning() -> None:
    scene = Scene(call(61_000))
    await scene.restart()
    scene.log.log_ms = 2
    scene.log.records = list(log_of(*events("session_new"), first_seq=1))

    with pytest.raises(LogReplaced):
        await scene.following.look(is_idle=True)
    await scene.restart()
    await scene.later()

    assert "session_new" in scene.ledger.settlements_by_id
    assert scene.ledger.kept == Position(2, 4)
    assert not scene.ledger.gaps


async def test_messages_that_change_no_bill_move_the_position_and_are_no_gap() -> None:
    scene = Scene(call(61_000))
    await scene.restart()
    (other,) = log_of(requested("session_next"), first_seq=500)  # not followed
    scene.log.records.append(other)

    await scene.following.look(is_idle=True)
    await scene.later()

    assert scene.ledger.kept == Position(1, 500)
