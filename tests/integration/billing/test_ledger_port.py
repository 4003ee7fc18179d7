"""One suite for `billing.ports.Ledger`: the fake of the unit tests, SQLite and PostgreSQL all pass it."""

import asyncio
from dataclasses import replace

import pytest

from billing.domain.conflict import SettledMeanwhile, SettledOtherwise
from billing.domain.ledger import Account, settle
from billing.domain.rating import NOTHING, Charge, Tariff
from billing.domain.usage import Recorded, usage
from billing.ports import Gap, Ledger, Position
from contracts.events import Event
from tests.support.billing.fakes import FakeLedger
from tests.support.billing.logs import log_of
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick


@pytest.fixture
def fake_ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture(params=["fake_ledger", "sqlite_ledger", "postgresql_ledger"])
def any_ledger(request: pytest.FixtureRequest) -> Ledger:
    return request.getfixturevalue(request.param)


def account_of(
    session: str,
    served_ms: int,
    *,
    seq: int = 10,
    user: str = "ada",
    late: tuple[Event, ...] = (),
    tariff: Tariff | None = None,
) -> Account:
    events: list[Event] = [
        requested(session, user),
        assigned(session_id=session),
        ready(session_id=session),
        started(session_id=session),
        stopped(served_ms, session_id=session),
        ended(served_ms, session_id=session),
        *late,
    ]
    log: tuple[Recorded, ...] = log_of(*events, first_seq=seq, step_ms=200_000 + seq)
    return settle(usage(session, log), tariff or Tariff())


async def test_a_recorded_account_is_read_back_as_it_was(any_ledger: Ledger) -> None:
    account = account_of(SESSION, 61_000, late=(stopped(125_000),))

    assert await any_ledger.record(account) == 3

    assert await any_ledger.account(SESSION) == account
    assert await any_ledger.settlements([SESSION, "session_none"]) == {SESSION: account.settlement}


async def test_fault_time_is_read_back_with_its_epoch(any_ledger: Ledger) -> None:
    log = log_of(requested(), assigned(), ready(), started(), stopped(61_000, fault_ms=9_000), ended(52_000))
    account = settle(usage(SESSION, log), Tariff())

    await any_ledger.record(account)

    assert await any_ledger.account(SESSION) == account


async def test_a_repetition_writes_nothing(any_ledger: Ledger) -> None:
    account = account_of(SESSION, 61_000)
    await any_ledger.record(account)

    assert await any_ledger.record(account) == 0
    assert await any_ledger.account(SESSION) == account


async def test_a_later_record_adds_only_what_is_new(any_ledger: Ledger) -> None:
    await any_ledger.record(account_of(SESSION, 61_000))
    adjusted = account_of(SESSION, 61_000, late=(stopped(125_000),))

    assert await any_ledger.record(adjusted) == 1
    assert await any_ledger.account(SESSION) == adjusted


async def test_many_at_once_write_each_row_once(any_ledger: Ledger) -> None:
    account = account_of(SESSION, 61_000, late=(stopped(125_000),))

    written = await asyncio.gather(*(any_ledger.record(account) for _ in range(8)))

    assert sorted(written) == [0] * 7 + [3]
    assert await any_ledger.account(SESSION) == account


async def test_another_tariff_than_the_settlements_is_refused_and_changes_nothing(any_ledger: Ledger) -> None:
    first = account_of(SESSION, 61_000)
    await any_ledger.record(first)

    with pytest.raises(SettledMeanwhile):
        await any_ledger.record(account_of(SESSION, 61_000, late=(stopped(200_000),), tariff=Tariff(9)))

    assert await any_ledger.account(SESSION) == first


@pytest.mark.parametrize("served_ms", [61_000, 200_000])
async def test_another_log_under_the_same_id_is_refused_and_changes_nothing(any_ledger: Ledger, served_ms: int) -> None:
    first = account_of(SESSION, 61_000)
    await any_ledger.record(first)

    with pytest.raises(SettledOtherwise, match="it was made from the end at 15"):
        await any_ledger.record(account_of(SESSION, served_ms, seq=500, late=(stopped(300_000),)))

    assert await any_ledger.account(SESSION) == first


async def test_an_entry_that_is_there_with_another_amount_is_refused(any_ledger: Ledger) -> None:
    first = account_of(SESSION, 61_000, late=(stopped(125_000),))
    await any_ledger.record(first)
    usage_entry, adjustment = first.entries

    with pytest.raises(SettledOtherwise, match=str(adjustment.entry_id)):
        await any_ledger.record(replace(first, entries=(usage_entry, replace(adjustment, charge=NOTHING))))

    assert await any_ledger.account(SESSION) == first


async def test_the_grant_is_read_back_with_its_settlement(any_ledger: Ledger) -> None:
    log = log_of(requested(), assigned(granted_minutes=1), ready(), started(), stopped(61_000), ended(60_000))
    account = settle(usage(SESSION, log), Tariff())

    await any_ledger.record(account)

    assert await any_ledger.account(SESSION) == account
    assert (account.settlement.granted_minutes, account.owed.minutes) == (1, 1)


async def test_whatever_figures_the_events_hold_the_bill_is_recorded_and_read_back(any_ledger: Ledger) -> None:
    huge = 10**25
    honest = (requested(), assigned(granted_minutes=huge), ready(), started(), stopped(61_000))
    log = log_of(*honest, tick(huge, fault_ms=huge), tick(1, huge, fault_ms=huge), ended(huge), stopped(huge))
    account = settle(usage(SESSION, log), Tariff())

    await any_ledger.record(account)

    assert await any_ledger.account(SESSION) == account
    assert account.owed.minutes == 2
    assert not await any_ledger.is_empty()


async def test_what_is_not_there_is_none(any_ledger: Ledger) -> None:
    assert await any_ledger.account(SESSION) is None
    assert await any_ledger.settlements([SESSION]) == {}
    assert await any_ledger.position() is None
    assert await any_ledger.is_empty()
    assert await any_ledger.user("nobody", limit=10, behind=None) is None


async def test_a_users_sums_are_over_everything_and_pages_go_from_the_newest_to_the_oldest(any_ledger: Ledger) -> None:
    sessions = [f"session_{n}" for n in range(5)]
    for n, session in enumerate(sessions):
        await any_ledger.record(account_of(session, 61_000, seq=10 * n, late=(stopped(125_000, session_id=session),)))
    await any_ledger.record(account_of("session_other", 30_000, user="grace"))

    seen: list[str] = []
    behind = None
    while True:
        found = await any_ledger.user("ada", limit=2, behind=behind)
        assert found is not None
        assert (found.sessions, found.owed) == (5, Charge(625_000, 625, 15, 15))
        seen += [account.settlement.session_id for account in found.page]
        behind = found.next
        if behind is None:
            break

    assert seen == sessions[::-1]


async def test_a_user_with_two_accounts_has_one_list(any_ledger: Ledger) -> None:
    for n, user in enumerate(["ada", "account_ada", "ada", "grace", "account_ada"]):
        await any_ledger.record(account_of(f"session_{n}", 61_000, user=user, seq=10 * n))

    seen: list[str] = []
    behind = None
    while found := await any_ledger.user("ada", limit=3, behind=behind, account="account_ada"):
        assert (found.user_id, found.sessions, found.owed.minutes) == ("ada", 4, 8)
        seen += [account.settlement.session_id for account in found.page]
        behind = found.next
        if behind is None:
            break

    assert seen == ["session_4", "session_2", "session_1", "session_0"]
    alone = await any_ledger.user("Ada", limit=3, behind=None, account="account_ada")
    assert alone is not None
    assert (alone.user_id, alone.sessions) == ("Ada", 2)


async def test_sessions_that_ended_in_the_same_millisecond_are_all_paged(any_ledger: Ledger) -> None:
    sessions = {f"session_{n}" for n in range(5)}
    for session in sessions:
        await any_ledger.record(account_of(session, 1_000))

    seen: list[str] = []
    behind = None
    while (found := await any_ledger.user("ada", limit=1, behind=behind)) and len(seen) < 9:
        seen += [account.settlement.session_id for account in found.page]
        behind = found.next
        if behind is None:
            break

    assert sorted(seen) == sorted(sessions)


async def test_several_accounts_are_written_together_or_not_at_all(any_ledger: Ledger) -> None:
    first, second = account_of("session_1", 61_000), account_of("session_2", 30_000)
    assert await any_ledger.record_all([first, second]) == [2, 2]
    other = account_of("session_2", 200_000, seq=500)

    with pytest.raises(SettledOtherwise):
        await any_ledger.record_all([account_of("session_3", 1_000), other])

    assert await any_ledger.settlements(["session_1", "session_2", "session_3"]) == {
        "session_1": first.settlement,
        "session_2": second.settlement,
    }


async def test_the_position_only_moves_forward_unless_the_log_is_another(any_ledger: Ledger) -> None:
    for position in (Position(1, 10), Position(1, 20), Position(1, 5)):
        await any_ledger.advance(position)
    assert await any_ledger.position() == Position(1, 20)

    await any_ledger.advance(Position(2, 3))
    await any_ledger.keep_gap(Gap(21, 30, 1_764_000_000_000))
    await any_ledger.keep_gap(Gap(21, 30, 1_764_000_000_000))  # another replica found it too

    assert await any_ledger.position() == Position(2, 3)
