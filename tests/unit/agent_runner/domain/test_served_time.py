"""Served time: never more than the time both were there, never a step back, nothing after the end."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.served_time import MAX_STEP_S, ServedTime

Step = tuple[float, bool | None, bool | None]

_steps = st.lists(
    st.tuples(st.floats(0, 5, allow_nan=False), st.none() | st.booleans(), st.none() | st.booleans()), max_size=60
)


def test_a_minute_of_beats_is_a_minute() -> None:
    served = ServedTime().observe(0, agent=True).observe(10.25, caller=True)
    for beat in range(1, 121):
        served = served.observe(10.25 + beat * 0.5)
    assert served.served_ms == 60_000


def test_joining_and_leaving_between_beats_counts_to_the_instant() -> None:
    served = ServedTime().observe(0, agent=True).observe(0.5).observe(0.7, caller=True).observe(1.0)
    served = served.observe(1.35, caller=False).observe(1.5).observe(2.0)
    assert served.served_ms == 650


def test_beats_that_fail_for_a_while_add_one_second() -> None:
    served = ServedTime().observe(0, agent=True, caller=True).observe(0.5).observe(4.0).observe(4.0)
    assert served.served_ms == 1500


def test_a_node_frozen_for_40_s_adds_nothing() -> None:
    served = ServedTime().observe(0, agent=True, caller=True).observe(0.5).observe(40.5).observe(41.0)
    assert served.served_ms == 1000


def test_the_end_counts_to_its_instant_and_stops_the_clock() -> None:
    served = ServedTime().observe(0, agent=True, caller=True).observe(0.5).fix(0.8).observe(1.0).observe(1.5)
    assert served.served_ms == 800


def test_a_dead_worker_adds_nothing_after_its_last_sign_of_life() -> None:
    served = ServedTime().observe(0, agent=True, caller=True).observe(0.5).fix_as_seen().fix(0.9)
    assert served.served_ms == 500


def _run(steps: list[Step]) -> tuple[list[ServedTime], float]:
    """Each state, and the true time in which both were in the room."""
    now, states, true_s = 0.0, [ServedTime().observe(0.0)], 0.0
    for elapsed, agent, caller in steps:
        now += elapsed
        true_s += elapsed if states[-1].both else 0.0
        states.append(states[-1].observe(now, agent=agent, caller=caller))
    return states, true_s


@given(_steps)
def test_it_never_exceeds_the_time_both_were_there(steps: list[Step]) -> None:
    states, true_s = _run(steps)
    assert states[-1].total_s <= true_s + 1e-6


@given(_steps)
def test_it_only_grows_and_by_at_most_one_second_an_observation(steps: list[Step]) -> None:
    states, _ = _run(steps)
    for before, after in itertools.pairwise(states):
        assert 0 <= after.total_s - before.total_s <= MAX_STEP_S + 1e-9


@given(st.lists(st.floats(0, 0.9), max_size=40))
def test_steady_beats_lose_nothing(gaps: list[float]) -> None:
    served, now = ServedTime().observe(0, agent=True, caller=True), 0.0
    for gap in gaps:
        now += gap
        served = served.observe(now)
    assert abs(served.total_s - now) < 1e-6


@given(_steps, _steps)
def test_nothing_counts_after_the_end(before: list[Step], after: list[Step]) -> None:
    states, _ = _run(before)
    fixed, now = states[-1].fix(1000), 1000.0
    for elapsed, agent, caller in after:
        now += elapsed
        assert fixed.observe(now, agent=agent, caller=caller).fix(now) == fixed
