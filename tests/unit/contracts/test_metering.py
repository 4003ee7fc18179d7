import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import metering
from contracts.events import AgentReady, AgentStopped, Event, JobAssigned, ServedTick
from contracts.metering import LogRecord, meter
from contracts.parsing import parse_event
from tests.support.billing.logs import log_of
from tests.support.events import assigned, ended, ready, requested, started, stopped, tick

MS = st.integers(0, 10_000_000)


@pytest.mark.parametrize(
    ("billable_ms", "seconds", "minutes"),
    [
        (0, 0, 0),
        (1, 0, 0),
        (999, 0, 0),
        (1_000, 1, 1),
        (59_999, 59, 1),
        (60_000, 60, 1),
        (60_999, 60, 1),
        (61_000, 61, 2),
        (120_000, 120, 2),
        (120_999, 120, 2),
        (121_000, 121, 3),
        (1_800_000, 1_800, 30),
    ],
)
def test_begun_minutes_of_whole_seconds(billable_ms: int, seconds: int, minutes: int) -> None:
    assert (metering.seconds(billable_ms), metering.minutes(billable_ms)) == (seconds, minutes)


@given(MS, MS)
def test_more_time_is_never_fewer_minutes(one: int, other: int) -> None:
    shorter, longer = sorted((one, other))

    assert metering.minutes(shorter) <= metering.minutes(longer)


@given(MS)
def test_a_minute_is_begun_by_its_first_whole_second_and_holds_sixty(billable_ms: int) -> None:
    minutes, seconds = metering.minutes(billable_ms), metering.seconds(billable_ms)

    assert 60 * (minutes - 1) < seconds <= 60 * minutes


FACTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(assigned, st.integers(1, 3), granted_minutes=st.none() | st.integers(0, 6)),
    st.builds(ready, st.integers(1, 3)),
    st.just(started()),
    st.builds(tick, st.integers(0, 300_000), st.integers(1, 3), fault_ms=st.integers(0, 300_000)),
    st.builds(stopped, st.integers(0, 300_000), st.integers(1, 3), fault_ms=st.integers(0, 300_000)),
)
LOGS = st.lists(FACTS, max_size=15).map(lambda facts: log_of(requested(), *facts, ended()))


@given(LOGS, st.data())
def test_order_and_repetition_of_the_records_change_nothing(log: tuple[LogRecord, ...], data: st.DataObject) -> None:
    delivered = data.draw(st.permutations([*log, *data.draw(st.lists(st.sampled_from(log), max_size=8))]))

    assert meter(delivered) == meter(log)


@given(LOGS)
def test_no_epoch_bills_more_than_it_served_or_than_its_span(log: tuple[LogRecord, ...]) -> None:
    for epoch in meter(log).epochs:
        assert 0 <= epoch.billable_ms <= max(0, epoch.served_ms - epoch.fault_ms)
        assert epoch.span_ms is None or epoch.billable_ms <= epoch.span_ms


@given(LOGS, st.data())
def test_another_report_of_fault_time_never_raises_the_bill(log: tuple[LogRecord, ...], data: st.DataObject) -> None:
    metered = meter(log)
    if metered.epochs:
        epoch = data.draw(st.sampled_from(metered.epochs))
        served_ms = epoch.served_ms if epoch.span_ms is None else min(epoch.served_ms, epoch.span_ms)
        word = tick(served_ms, epoch.epoch, fault_ms=data.draw(st.integers(epoch.fault_ms, 300_000)))

        assert 0 <= meter([*log, LogRecord(word, log[-1].stored_ms)]).billable_ms <= metered.billable_ms


@given(st.integers(0, 300_000), st.none() | st.integers(0, 300_000), st.integers(0, 300_000), st.integers(0, 1_000))
def test_more_served_time_never_costs_less_whatever_failed(
    served_ms: int, span_ms: int | None, fault_ms: int, more: int
) -> None:
    longer = metering.billable(served_ms + more, span_ms, fault_ms)
    assert metering.billable(served_ms, span_ms, fault_ms) <= longer


def test_without_a_start_nothing_is_billed() -> None:
    assert meter(log_of(assigned(), ready(), tick(30_000), stopped(30_000))).billable_ms == 0


def test_an_empty_log_bills_nothing() -> None:
    assert meter(()) == metering.Metered(epochs=(), billable_ms=0)


def test_the_last_word_of_each_epoch_counts_and_a_gap_is_not_billed() -> None:
    log = log_of(
        assigned(1), ready(1), started(), tick(5_000, 1), tick(10_000, 1), assigned(2), ready(2), stopped(7_000, 2),
        step_ms=10_000,
    )  # fmt: skip

    assert meter(log).billable_ms == 17_000


def test_fault_time_is_not_billed_and_each_epoch_has_its_own() -> None:
    log = log_of(
        assigned(1), ready(1), started(), tick(10_000, 1, fault_ms=2_000), tick(15_000, 1, fault_ms=6_000),
        assigned(2), ready(2), tick(5_000, 2), stopped(7_000, 2, fault_ms=500), step_ms=10_000,
    )  # fmt: skip

    assert [(e.served_ms, e.fault_ms, e.billable_ms) for e in meter(log).epochs] == [
        (15_000, 6_000, 9_000),
        (7_000, 500, 6_500),
    ]


@given(LOGS, st.integers(metering.LONGEST_EPOCH_MS + 1, 10**30), st.integers(0, 10**30))
def test_a_report_that_no_epoch_can_make_changes_nothing(
    log: tuple[LogRecord, ...], served_ms: int, fault_ms: int
) -> None:
    at = log[-1].stored_ms
    forged = [LogRecord(word(served_ms, 1, fault_ms=fault_ms), at) for word in (tick, stopped)]

    assert meter([*log, *forged]) == meter(log)


def test_an_event_of_before_there_was_fault_time_bills_as_before() -> None:
    body = tick(10_000).model_dump_json(exclude={"fault_ms"})

    old = parse_event(tick(10_000).subject, body)

    assert meter(log_of(assigned(), ready(), started(), old)).billable_ms == 10_000


def test_a_frozen_epoch_bills_nothing_of_the_time_after_its_successor_was_ready() -> None:
    begun = (assigned(1), ready(1), started(), assigned(2), ready(2))
    log = log_of(*begun, tick(90_000, 1), stopped(1_000, 2), step_ms=1_000)

    assert meter(log).billable_ms == 4_000 + 1_000


def test_a_successor_that_never_was_ready_caps_nothing() -> None:
    assert meter(log_of(assigned(1), ready(1), started(), assigned(2), tick(90_000, 1))).billable_ms == 90_000


@given(LOGS)
def test_no_log_bills_more_than_the_greatest_grant_in_it(log: tuple[LogRecord, ...]) -> None:
    grants = [r.event.granted_minutes for r in log if isinstance(r.event, JobAssigned)]
    granted = max((g for g in grants if g is not None), default=None)
    metered = meter(log)

    assert metered.granted_minutes == granted
    if granted is None:
        assert metered.billable_ms in (0, sum(e.billable_ms for e in metered.epochs))
    else:
        assert metered.minutes <= granted


def test_a_call_is_billed_up_to_its_grant_and_not_beyond() -> None:
    def billed(served_ms: int, granted_minutes: int | None) -> tuple[int, int, int]:
        grant = assigned(granted_minutes=granted_minutes)
        metered = meter(log_of(requested(), grant, ready(), started(), stopped(served_ms), ended()))
        return metered.billable_ms, metered.seconds, metered.minutes

    assert billed(59_500, 1) == (59_500, 59, 1)
    assert billed(61_000, 1) == (60_000, 60, 1)
    assert billed(61_000, 2) == (61_000, 61, 2)
    assert billed(61_000, None) == (61_000, 61, 2)


def test_where_a_scheduler_without_grants_assigned_the_limit_of_the_start_holds() -> None:
    served = (ready(), started(), stopped(150_000), ended())

    asked = meter(log_of(requested(credit_limit_minutes=2), assigned(), *served))
    granted = meter(log_of(requested(credit_limit_minutes=2), assigned(granted_minutes=3), *served))
    never_assigned = meter(log_of(requested(credit_limit_minutes=2), ended()))

    assert (asked.billable_ms, asked.granted_minutes) == (120_000, 2)
    assert (granted.billable_ms, granted.granted_minutes) == (150_000, 3)
    assert never_assigned.granted_minutes is None


def test_a_grant_counts_over_all_epochs_and_without_their_fault_time() -> None:
    grants = [assigned(1, granted_minutes=1), assigned(2, granted_minutes=1)]
    log = log_of(requested(), *grants, started(), tick(50_000, 1, fault_ms=20_000), stopped(45_000, 2), ended())

    metered = meter(log)

    assert [e.billable_ms for e in metered.epochs] == [30_000, 45_000]
    assert (metered.billable_ms, metered.minutes) == (60_000, 1)


@pytest.mark.parametrize(
    ("billable_ms", "granted_minutes", "spent"), [(59_499, 1, False), (59_500, 1, True), (10**9, None, False)]
)
def test_a_grant_is_spent_half_a_second_before_its_end(
    billable_ms: int, granted_minutes: int | None, spent: bool
) -> None:
    assert metering.is_spent(billable_ms, granted_minutes) is spent


def test_a_log_of_six_seconds_never_bills_ten_hours() -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(36_000_000), ended(), step_ms=1_000)

    (epoch,) = meter(log).epochs

    assert meter(log).billable_ms == 3_000 + metering.CLOCK_TOLERANCE_MS
    assert epoch.cut_ms == 36_000_000 - epoch.served_ms


def test_an_epoch_that_was_never_assigned_is_bounded_by_the_start_of_the_session() -> None:
    log = log_of(requested(), started(), stopped(36_000_000, 9), ended(), step_ms=1_000)

    assert meter(log).billable_ms == 2_000 + metering.CLOCK_TOLERANCE_MS


def test_a_report_that_was_held_back_by_an_outage_loses_nothing() -> None:
    log = log_of(requested(), assigned(), ready(), started(), step_ms=1_000)
    back_ms = log[-1].stored_ms + 900_000
    late = [LogRecord(event, back_ms) for event in (tick(300_000), tick(600_000), stopped(890_000))]

    metered = meter([*log, *late])

    assert (metered.billable_ms, metered.epochs[0].cut_ms) == (890_000, 0)


def test_nothing_is_served_after_the_end_whenever_it_is_reported() -> None:
    log = log_of(requested(), assigned(), ready(), started(), tick(1_500), ended(), step_ms=1_000)
    late = LogRecord(stopped(500_000), log[-1].stored_ms + 600_000)

    assert meter([*log, late]).billable_ms == 4_000 + metering.CLOCK_TOLERANCE_MS


def test_a_clock_that_a_new_leader_sets_back_a_little_costs_no_caller_and_no_bill() -> None:
    log = log_of(requested(), assigned(), ready(), started(), step_ms=1_000)
    behind = LogRecord(stopped(60_000), log[1].stored_ms + 60_000 - metering.CLOCK_TOLERANCE_MS)

    assert meter([*log, behind]).billable_ms == 60_000


def test_a_fault_after_the_span_is_not_taken_off_a_second_time() -> None:
    begun = (assigned(1), ready(1), started(), tick(30_000), tick(60_000))
    frozen = (tick(65_000, fault_ms=5_000), stopped(90_000, fault_ms=20_000))
    log = log_of(*begun, *frozen, assigned(2), ready(2), step_ms=100_000)
    span_ends = [LogRecord(r.event, log[0].stored_ms + 60_000) if r.event == ready(2) else r for r in log]

    (epoch,) = meter(span_ends).epochs

    assert (epoch.span_ms, epoch.fault_ms, epoch.billable_ms) == (60_000, 0, 60_000)
    assert meter(span_ends, rule=1).billable_ms == 40_000


def test_a_fault_that_only_the_last_report_knows_counts_for_the_caller() -> None:
    log = log_of(assigned(1), ready(1), started(), stopped(90_000, fault_ms=20_000), ready(2))
    span_ends = [LogRecord(r.event, log[0].stored_ms + 60_000) if r.event == ready(2) else r for r in log]

    assert meter(span_ends).billable_ms == 40_000


def restored(age_ms: int, *later: Event) -> list[LogRecord]:
    """The log of a lost store: the node's word again, and behind it `assigned`; what is later comes after a minute."""
    log = log_of(ready(), started(), tick(600_000), assigned(age_ms=age_ms), requested(), step_ms=10)
    after_ms = log[-1].stored_ms + 60_000
    return [*log, *(LogRecord(event, after_ms + 10 * n) for n, event in enumerate(later))]


def test_a_call_that_a_lost_log_got_again_is_billed_whole() -> None:
    metered = meter(restored(610_000, stopped(660_000), ended()))

    assert (metered.billable_ms, metered.epochs[0].cut_ms) == (660_000, 0)


def test_a_take_over_after_the_log_was_lost_caps_at_the_span_from_the_true_beginning() -> None:
    (first, _) = meter(restored(610_000, assigned(2), ready(2), tick(900_000), stopped(5_000, 2), ended())).epochs

    assert (first.span_ms, first.billable_ms) == (670_020, 670_020)


def test_an_epoch_bills_no_more_than_the_age_that_it_was_restored_with_allows() -> None:
    (epoch,) = meter(restored(100_000, stopped(660_000), ended())).epochs

    assert epoch.billable_ms == 100_000 + 60_010 + metering.CLOCK_TOLERANCE_MS


def test_an_age_of_one_epoch_widens_no_other() -> None:
    log = restored(610_000, stopped(600_000, 7), ended())

    assert [e.billable_ms for e in meter(log).epochs][1:] == [60_010 + metering.CLOCK_TOLERANCE_MS]


@given(LOGS)
def test_a_log_without_an_age_keeps_the_bounds_and_spans_of_the_stored_times(log: tuple[LogRecord, ...]) -> None:
    bodies = [(r.event.subject, r.event.model_dump_json(exclude={"age_ms"}), r.stored_ms) for r in log]
    old = [LogRecord(parse_event(subject, body), stored_ms) for subject, body, stored_ms in bodies]
    metered = meter(old)

    assert metered == meter(log)
    begun: dict[int, int] = {}
    said: dict[tuple[int, int, int], int] = {}
    for record in log:
        match record.event:
            case JobAssigned() as event:
                begun.setdefault(event.epoch, record.stored_ms)
            case ServedTick() | AgentStopped() as event:
                said.setdefault((event.epoch, event.served_ms, event.fault_ms), record.stored_ms)
            case _:
                pass
    for epoch in metered.epochs:
        began_ms = begun.get(epoch.epoch, min(begun.values(), default=log[0].stored_ms))
        allowed = [
            min(served_ms, max(0, at_ms - began_ms) + metering.CLOCK_TOLERANCE_MS)
            for (number, served_ms, _), at_ms in said.items()
            if number == epoch.epoch
        ]
        later = [r.stored_ms for r in log if isinstance(r.event, AgentReady) and r.event.epoch > epoch.epoch]
        span_ms = max(0, min(later) - began_ms) if later and epoch.epoch in begun else None
        assert (epoch.served_ms, epoch.span_ms) == (max(allowed), span_ms)


def test_a_session_that_an_older_rule_settled_is_measured_by_that() -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(36_000_000), ended(), step_ms=1_000)

    assert meter(log, rule=1).billable_ms == 36_000_000
