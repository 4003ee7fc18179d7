"""Invariant 8: any duplication, reordering or replay of events gives the same ledger, byte for byte."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from billing.domain.audit import findings
from billing.domain.ledger import Account, settle
from billing.domain.rating import Tariff, rate
from billing.domain.usage import Recorded, usage
from contracts.events import Event, JobAssigned
from contracts.metering import meter, within_grant
from tests.support.billing.logs import call, log_of
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick

TARIFF = Tariff()

_epochs = st.integers(1, 3)
_served = st.integers(0, 400_000)
_faults = st.just(0) | st.integers(0, 400_000)
_facts: st.SearchStrategy[Event] = st.one_of(
    st.builds(assigned, _epochs, granted_minutes=st.none() | st.integers(0, 8)),
    st.builds(ready, _epochs),
    st.builds(started, _epochs),
    st.builds(tick, _served, _epochs, fault_ms=_faults),
    st.builds(stopped, _served, _epochs, fault_ms=_faults),
)


@st.composite
def _logs(draw: st.DrawFn) -> tuple[Recorded, ...]:
    within = draw(st.lists(_facts, max_size=15))
    late = draw(st.lists(_facts, max_size=6))
    step_ms = draw(st.integers(1, 30_000))
    return log_of(requested(), *within, ended(draw(_served)), *late, step_ms=step_ms)


def _bytes(account: Account) -> bytes:
    return repr(account).encode()


def _settled(records: Sequence[Recorded]) -> Account:
    return settle(usage(SESSION, records), TARIFF)


@given(_logs(), st.data())
def test_any_delivery_of_the_same_log_gives_the_same_ledger_byte_for_byte(
    log: tuple[Recorded, ...], data: st.DataObject
) -> None:
    again = data.draw(st.lists(st.sampled_from(log), max_size=10))
    delivered = data.draw(st.permutations([*log, *again]))

    assert _bytes(_settled(delivered)) == _bytes(_settled(log))


@given(_logs(), st.data())
def test_facts_that_were_published_twice_change_no_amount(log: tuple[Recorded, ...], data: st.DataObject) -> None:
    ticks_and_stops = [r for r in log if r.event.event in ("tick", "agent_stopped", "started")]
    repeated = data.draw(st.lists(st.sampled_from(ticks_and_stops or log[:1]), max_size=5))
    behind = [
        Recorded(event=r.event, stored_ms=log[-1].stored_ms + n, seq=log[-1].seq + n)
        for n, r in enumerate(repeated, start=1)
    ]

    assert _settled([*log, *behind]) == _settled(log)


@given(_logs())
def test_every_replay_of_a_growing_log_only_adds_entries(log: tuple[Recorded, ...]) -> None:
    end = next(n for n, record in enumerate(log) if record.event.event == "ended")
    written: tuple[object, ...] = ()
    for length in range(end + 1, len(log) + 1):
        account = _settled(log[:length])
        assert account.entries[: len(written)] == written
        assert account.settlement == _settled(log).settlement
        written = account.entries


@given(_logs())
def test_the_entries_add_up_to_the_price_of_the_whole_log(log: tuple[Recorded, ...]) -> None:
    assert _settled(log).owed == rate(meter(log).billable_ms, TARIFF)


@given(_logs())
def test_the_shares_of_the_epochs_up_to_the_grant_add_up_to_the_settlement(log: tuple[Recorded, ...]) -> None:
    settlement = _settled(log).settlement

    shares_ms = sum(share.billable_ms for share in settlement.epochs)
    assert within_grant(shares_ms, settlement.granted_minutes) == settlement.charge.billable_ms


@given(_logs())
def test_no_session_owes_more_than_its_grant_whatever_comes_late(log: tuple[Recorded, ...]) -> None:
    grants = [r.event.granted_minutes for r in log if isinstance(r.event, JobAssigned)]
    account, granted = _settled(log), max((g for g in grants if g is not None), default=None)

    assert granted is None or account.owed.minutes <= granted
    assert account.settlement.granted_minutes is None or (
        account.settlement.charge.minutes <= account.settlement.granted_minutes
    )


@given(_logs())
def test_every_account_agrees_with_its_own_evidence(log: tuple[Recorded, ...]) -> None:
    assert findings(_settled(log)) == []


@given(_logs())
def test_entry_ids_are_unique(log: tuple[Recorded, ...]) -> None:
    ids = [entry.entry_id for entry in _settled(log).entries]

    assert len(set(ids)) == len(ids)


@given(st.integers(0, 4_000_000), st.integers(0, 4_000_000), st.integers(0, 10))
def test_a_longer_session_never_costs_less(one: int, other: int, price: int) -> None:
    shorter, longer = sorted((one, other))
    tariff = Tariff(price)

    assert rate(shorter, tariff).credits <= rate(longer, tariff).credits


def test_a_call_of_a_whole_day_is_settled_in_well_under_a_second() -> None:
    log = list(call(24 * 3_600_000))
    random.Random(7).shuffle(log)

    assert _settled(log).owed.minutes == 24 * 60
