from dataclasses import astuple
from datetime import UTC, datetime

import pytest

from billing.domain.audit import findings
from billing.domain.ledger import billed, instant, settle, tariff_then
from billing.domain.rating import Charge, Tariff
from billing.domain.usage import IncompleteLog, NotEnded, usage
from contracts.events import Event, TimeLost
from tests.support.billing.logs import USER, call, log_of
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick

TARIFF = Tariff()


def test_an_ordinary_call_is_one_usage_entry_with_its_price() -> None:
    account = settle(usage(SESSION, call(61_400)), TARIFF)

    assert [astuple(e.charge) for e in account.entries] == [(61_400, 61, 2, 2)]
    assert account.settlement.user_id == USER
    assert account.settlement.difference_ms == 0
    assert account.owed == account.settlement.charge


def test_a_session_that_never_started_is_settled_at_zero() -> None:
    log = log_of(requested(), assigned(), ready(), tick(30_000), stopped(30_000), ended(0))

    account = settle(usage(SESSION, log), TARIFF)

    assert account.settlement.charge == Charge(0, 0, 0, 0)
    assert [share.billable_ms for share in account.settlement.epochs] == [0]
    assert [share.served_ms for share in account.settlement.epochs] == [30_000]


def test_no_figure_in_an_event_leaves_a_session_without_a_bill() -> None:
    huge = 10**25
    forged = (assigned(granted_minutes=huge), tick(huge, fault_ms=huge), stopped(huge), tick(1, 2, fault_ms=huge))
    honest = (requested(), assigned(), ready(), started(), tick(5_000), stopped(61_000))

    account = settle(usage(SESSION, log_of(*honest, *forged, ended(huge), tick(huge), stopped(huge, 3))), TARIFF)

    settlement = account.settlement
    figures = (*astuple(settlement.charge), settlement.difference_ms, settlement.granted_minutes or 0)
    assert all(abs(figure) < 2**63 for figure in figures)
    assert account.owed == Charge(61_000, 61, 2, 2)
    assert settlement.epochs[0].sequences == (11, 12, 15)  # of what was honest
    assert findings(account) == []


def test_a_session_that_was_rejected_is_settled_at_zero_with_no_epoch() -> None:
    account = settle(usage(SESSION, log_of(requested(), ended(0, 0))), TARIFF)

    assert account.settlement.charge == Charge(0, 0, 0, 0)
    assert account.settlement.epochs == ()
    assert len(account.entries) == 1


def test_a_longer_served_time_after_the_end_is_an_adjustment_and_the_first_entry_stays() -> None:
    without = settle(usage(SESSION, call(59_000)), TARIFF)

    account = settle(usage(SESSION, call(59_000, tick(60_000), stopped(65_000))), TARIFF)

    assert account.settlement == without.settlement
    assert account.entries[0] == without.entries[0]
    assert [(e.kind, astuple(e.charge)) for e in account.entries[1:]] == [
        ("adjustment", (1_000, 1, 0, 0)),
        ("adjustment", (5_000, 5, 1, 1)),
    ]
    assert account.owed == Charge(65_000, 65, 2, 2)


def test_late_reports_that_change_nothing_make_no_entry() -> None:
    account = settle(usage(SESSION, call(65_000, tick(60_000), stopped(65_000), started())), TARIFF)

    assert len(account.entries) == 1


def test_a_start_that_was_stored_after_the_end_is_billed_as_an_adjustment() -> None:
    log = log_of(requested(), assigned(), ready(), stopped(30_000), ended(0), started())

    account = settle(usage(SESSION, log), TARIFF)

    assert [astuple(e.charge) for e in account.entries] == [(0, 0, 0, 0), (30_000, 30, 1, 1)]
    assert account.entries[1].note == "started was stored after the end"


def test_a_successor_whose_readiness_came_late_takes_time_back() -> None:
    before_the_end: list[Event] = [requested(), assigned(1), ready(1), started(), tick(70_000, 1), assigned(2)]
    log = log_of(*before_the_end, ended(70_000, 2), ready(2), step_ms=5_000)

    account = settle(usage(SESSION, log), Tariff(rule=1))

    # From `assigned` of epoch 1 (5 s) to `agent_ready` of epoch 2 (35 s).
    assert account.owed == Charge(30_000, 30, 1, 1)
    assert astuple(account.entries[1].charge) == (-40_000, -40, -1, -1)


def test_what_was_reported_too_soon_is_cut_and_the_bill_says_so() -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(36_000_000), ended(36_000_000), step_ms=1_000)

    account = settle(usage(SESSION, log), TARIFF)

    assert account.owed == Charge(8_000, 8, 1, 1)
    assert account.settlement.cut_ms == 36_000_000 - 8_000
    assert account.entries[0].note == (
        "served until the end (completed), without 35992000 ms that were reported sooner than they can have been served"
    )
    assert findings(account) == []


def test_a_frozen_epoch_is_capped_and_its_share_says_which_events_decided() -> None:
    log = log_of(
        requested(),
        assigned(1),
        ready(1),
        started(),
        tick(5_000, 1),
        assigned(2, "n2"),
        ready(2),
        tick(11_000, 1),
        stopped(7_000, 2),
        ended(12_000, 2),
        step_ms=1_000,
    )

    first, second = settle(usage(SESSION, log), TARIFF).settlement.epochs

    assert (first.served_ms, first.span_ms, first.billable_ms, first.node_id) == (11_000, 5_000, 5_000, "n1")
    assert first.sequences == (11, 12, 17)
    assert (second.served_ms, second.span_ms, second.billable_ms, second.node_id) == (7_000, None, 7_000, "n2")
    assert second.sequences == (15, 16, 18)


def test_fault_time_is_left_out_and_the_bill_says_so_and_where_the_log_has_it() -> None:
    log = log_of(
        requested(), assigned(), ready(), started(), tick(60_000), tick(65_000, fault_ms=4_000),
        stopped(70_000, fault_ms=9_500), ended(60_500),
    )  # fmt: skip

    account = settle(usage(SESSION, log), TARIFF)
    (share,) = account.settlement.epochs

    assert account.owed == Charge(60_500, 60, 1, 1)
    assert account.settlement.difference_ms == 0
    assert (share.served_ms, share.fault_ms, share.billable_ms, share.sequences) == (
        70_000,
        9_500,
        60_500,
        (11, 12, 16),
    )
    assert account.entries[0].note == "served until the end (completed), without 9500 ms in which a provider failed"


def test_the_record_with_the_greatest_fault_time_is_evidence_though_an_earlier_one_had_the_served_time() -> None:
    log = log_of(
        requested(), assigned(), ready(), started(), tick(60_000), stopped(60_000, fault_ms=1_000), ended(59_000)
    )

    assert settle(usage(SESSION, log), TARIFF).settlement.epochs[0].sequences == (11, 12, 14, 15)


def test_fault_time_that_came_late_takes_time_back() -> None:
    account = settle(usage(SESSION, call(61_000, stopped(61_000, fault_ms=1_000))), TARIFF)

    assert astuple(account.entries[1].charge) == (-1_000, -1, -1, -1)
    assert account.entries[1].note == (
        "agent_stopped of epoch 1 with 61000 ms served, without 1000 ms in which a provider failed"
        " was stored after the end"
    )


def test_a_log_without_faults_has_the_hash_that_it_had_before_there_was_fault_time() -> None:
    golden = "6507309a0af1fdf227fc02b17c359a6d1d26591fc8c0aa520d25d0b60a709381"

    log = call(12_000, step_ms=1_000)
    failed = log[:-2] + log_of(stopped(12_000, fault_ms=1), ended(), first_seq=99)

    assert usage(SESSION, log).sha256 == golden
    assert usage(SESSION, failed).sha256 != golden


def test_the_age_of_a_restored_epoch_is_in_the_hash() -> None:
    hashes = {
        usage(SESSION, log_of(requested(), assigned(granted_minutes=granted, age_ms=age), ended())).sha256
        for granted in (None, 5)
        for age in (0, 5)
    }

    assert len(hashes) == 4


def test_the_difference_to_the_schedulers_figure_is_kept() -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(61_000), ended(60_000))

    assert settle(usage(SESSION, log), TARIFF).settlement.difference_ms == 1_000


def test_the_tariff_prices_minutes_and_adjustments_alike() -> None:
    account = settle(usage(SESSION, call(30_000, stopped(61_000))), Tariff(credits_per_minute=7))

    assert [e.charge.credits for e in account.entries] == [7, 7]


def test_the_announcement_is_the_same_bytes_each_time_and_knows_no_adjustment() -> None:
    first = billed(settle(usage(SESSION, call(30_000)), TARIFF).settlement)
    again = billed(settle(usage(SESSION, call(30_000, stopped(90_000))), TARIFF).settlement)

    assert first.model_dump_json() == again.model_dump_json()
    assert (first.seconds, first.minutes, first.credits) == (30, 1, 1)


@pytest.mark.parametrize("served_ms", [0, 30_000, 61_000])
@pytest.mark.parametrize("then", [Tariff(7), Tariff(0), Tariff(3, rule=1)])
def test_a_log_with_the_announced_bill_gives_the_price_of_the_time(then: Tariff, served_ms: int) -> None:
    log = call(served_ms)
    announced = billed(settle(usage(SESSION, log), then).settlement)

    used = usage(SESSION, [*log, *log_of(announced, first_seq=50)])

    assert tariff_then(used, Tariff(2)) == then
    assert tariff_then(usage(SESSION, log), Tariff(2)) == Tariff(2)


@pytest.mark.parametrize("then", [Tariff(7), Tariff(7, rule=1)])
def test_a_bill_of_an_older_version_names_no_price_and_its_credits_and_seconds_say_it(then: Tariff) -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(3_600_000), ended(3_600_000))
    announced = billed(settle(usage(SESSION, log), then).settlement)
    older = announced.model_copy(update={"credits_per_minute": None, "rule": None})

    assert tariff_then(usage(SESSION, [*log, *log_of(older, first_seq=50)]), Tariff(2)) == then


def test_time_that_no_event_proves_is_reported_and_not_billed() -> None:
    lost = TimeLost(session_id=SESSION, time=instant(0), epoch=2, billable_ms=83_400)
    log = call(30_000)

    account = settle(usage(SESSION, log_of(lost, *(record.event for record in log))), TARIFF)

    assert account.lost_ms == 83_400
    assert account.owed == Charge(30_000, 30, 1, 1)


def test_records_of_another_session_change_no_bill() -> None:
    other = log_of(stopped(900_000, session_id="session_other"), first_seq=14)

    assert usage(SESSION, (*call(30_000), *other)) == usage(SESSION, call(30_000))


def test_a_log_without_an_end_is_not_settled() -> None:
    with pytest.raises(NotEnded, match=SESSION):
        usage(SESSION, log_of(requested(), assigned(), ready()))


def test_a_log_that_lost_its_beginning_is_refused_rather_than_billed_wrongly() -> None:
    with pytest.raises(IncompleteLog, match="oldest messages are gone"):
        usage(SESSION, call(30_000)[1:])


def test_an_instant_keeps_its_milliseconds_exactly() -> None:
    assert instant(1_764_000_000_007) == datetime(2025, 11, 24, 16, 0, 0, 7_000, tzinfo=UTC)
