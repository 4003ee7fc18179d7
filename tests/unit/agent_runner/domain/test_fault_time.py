"""Fault time: the union of the spans in which a provider failed, on the clock of served time."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.fault_time import FaultTime

PROVIDERS = st.sampled_from(("stt", "llm", "tts"))
STEPS = st.lists(st.tuples(st.integers(0, 5_000), PROVIDERS, st.none() | st.integers(0, 8_000)), max_size=40)
"""Served ms until it happens, to which provider, and how long ago it began to fail; None: it recovers."""


def test_nothing_failed_so_nothing_is_fault_time() -> None:
    assert FaultTime().total_ms(60_000) == 0
    assert FaultTime().recover("stt", 5_000).total_ms(60_000) == 0


def test_a_fault_lasts_until_its_provider_recovers() -> None:
    faults = FaultTime().fail("llm", 10_000)
    assert faults.total_ms(12_500) == 2_500
    assert faults.recover("llm", 14_000).total_ms(60_000) == 4_000


def test_a_fault_without_an_end_lasts_to_the_end_of_the_epoch() -> None:
    assert FaultTime().fail("tts", 10_000).total_ms(61_000) == 51_000


def test_faults_at_once_are_counted_once() -> None:
    faults = FaultTime().fail("stt", 10_000).fail("tts", 12_000).recover("stt", 15_000).recover("tts", 16_000)
    assert faults.total_ms(60_000) == 6_000


def test_a_fault_counts_from_its_beginning_though_it_is_noticed_later() -> None:
    assert FaultTime().fail("stt", 10_000, ago_ms=4_000).recover("stt", 10_500).total_ms(60_000) == 4_500


def test_what_began_before_the_epoch_served_or_in_a_counted_span_is_not_counted_again() -> None:
    faults = FaultTime().fail("tts", 1_000, ago_ms=3_000).recover("tts", 2_000)
    assert faults.total_ms(60_000) == 2_000
    assert faults.fail("llm", 3_000, ago_ms=2_500).recover("llm", 4_000).total_ms(60_000) == 4_000


def test_a_second_fault_that_is_older_moves_the_beginning() -> None:
    faults = FaultTime().fail("tts", 10_000).fail("llm", 11_000, ago_ms=3_000)
    assert faults.total_ms(12_000) == 4_000


def _run(steps: list[tuple[int, str, int | None]]) -> list[tuple[int, FaultTime]]:
    served, faults = 0, FaultTime()
    states = [(served, faults)]
    for elapsed, provider, ago in steps:
        served += elapsed
        faults = faults.recover(provider, served) if ago is None else faults.fail(provider, served, ago_ms=ago)
        states.append((served, faults))
    return states


@given(STEPS)
def test_it_only_grows_and_never_exceeds_the_served_time(steps: list[tuple[int, str, int | None]]) -> None:
    states = _run(steps)
    totals = [faults.total_ms(served) for served, faults in states]
    assert all(0 <= total <= served for total, (served, _) in zip(totals, states, strict=True))
    assert all(before <= after for before, after in itertools.pairwise(totals))


@given(STEPS)
def test_saying_the_same_again_changes_nothing(steps: list[tuple[int, str, int | None]]) -> None:
    twice = [step for elapsed, provider, ago in steps for step in ((elapsed, provider, ago), (0, provider, ago))]
    (served, once), (_, again) = _run(steps)[-1], _run(twice)[-1]
    assert once.total_ms(served) == again.total_ms(served)


@given(STEPS)
def test_with_faults_that_are_noticed_at_once_it_is_the_time_in_which_any_provider_fails(
    steps: list[tuple[int, str, int | None]],
) -> None:
    failing: set[str] = set()
    expected = 0
    at_once = [(elapsed, provider, None if ago is None else 0) for elapsed, provider, ago in steps]
    for elapsed, provider, ago in at_once:
        expected += elapsed if failing else 0
        failing = failing - {provider} if ago is None else failing | {provider}
    served, faults = _run(at_once)[-1]
    assert faults.total_ms(served) == expected
