"""When a process that died is started again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom_cli.stack.restarts import RestartPolicy


def test_the_wait_doubles_up_to_its_limit() -> None:
    policy = RestartPolicy(first_s=0.5, longest_s=3.0, most=5, window_s=60.0)

    waits = [policy.delay_s([1.0] * deaths) for deaths in range(1, 6)]

    assert waits == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("run_s", [0.0, 2.0, 5.0, 9.0, 12.0, 30.0, 59.0])
def test_a_process_that_keeps_dying_is_given_up_however_long_it_takes_to_die(run_s: float) -> None:
    policy = RestartPolicy()

    assert policy.delay_s([run_s] * policy.most) is not None
    assert policy.delay_s([run_s] * (policy.most + 1)) is None


def test_a_process_that_was_ready_for_the_window_has_a_clean_slate() -> None:
    policy = RestartPolicy(first_s=0.5, most=2, window_s=60.0)

    assert policy.delay_s([0.0, 1.0, 61.5]) == 0.5
    assert policy.delay_s([0.0, 1.0, 61.5, 1.0]) == 1.0


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=50))
def test_no_wait_is_longer_than_the_limit_nor_shorter_than_the_first(runs: list[float]) -> None:
    policy = RestartPolicy()

    delay = policy.delay_s(runs)

    assert delay is None or policy.first_s <= delay <= policy.longest_s
