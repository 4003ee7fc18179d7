"""What is due as a session's grant runs out: told by billable time, which stands still in a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.credit import Credit, CreditWarning
from contracts.metering import SPENT_EARLY_MS

WARNING = CreditWarning("Time is almost up.", 20)
MINUTE = Credit(1)


@pytest.mark.parametrize(
    ("billable_ms", "due"), [(0, None), (39_999, None), (40_000, "warning"), (59_499, None), (59_500, "end")]
)
def test_a_warning_twenty_seconds_before_and_the_end_half_a_second_before(billable_ms: int, due: str | None) -> None:
    assert MINUTE.due(billable_ms, WARNING) == due


def test_without_a_grant_nothing_is_ever_due() -> None:
    assert Credit().due(10**9, WARNING) is None


def test_no_text_is_no_warning_and_the_same_end() -> None:
    assert MINUTE.due(45_000, CreditWarning("", 20)) is None
    assert MINUTE.due(59_500, CreditWarning("", 20)) == "end"


@given(st.integers(1, 100), st.integers(0, 6_000_000), st.integers(0, 6_000_000))
def test_a_successor_has_what_its_forerunners_left(granted: int, before_ms: int, billable_ms: int) -> None:
    alone, successor = Credit(granted), Credit(granted, before_ms)

    assert successor.left_ms(billable_ms) == alone.left_ms(before_ms + billable_ms)
    assert successor.due(billable_ms, WARNING) == alone.due(before_ms + billable_ms, WARNING)


@given(st.integers(1, 100), st.integers(0, 6_000_000))
def test_a_call_is_never_left_to_reach_its_grant(granted: int, billable_ms: int) -> None:
    left_ms = Credit(granted).left_ms(billable_ms)

    assert left_ms is not None
    assert (Credit(granted).due(billable_ms, WARNING) == "end") == (left_ms <= SPENT_EARLY_MS)


@pytest.mark.parametrize(("billable_ms", "patience_s"), [(40_000, 12), (50_000, 2), (55_000, 0)])
def test_a_warning_waits_no_longer_than_leaves_time_to_say_it(billable_ms: int, patience_s: float) -> None:
    assert MINUTE.patience_s(billable_ms) == patience_s
