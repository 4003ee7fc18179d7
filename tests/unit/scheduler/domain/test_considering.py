"""What the scheduler says about the nodes that it looked at."""

import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import MOST_CONSIDERED
from contracts.registry import NodeState
from scheduler.domain.considering import considered
from scheduler.domain.fleet import Fleet
from scheduler.domain.placement import NoPlace
from tests.support.events import T0
from tests.support.scheduler.builders import node


def fleet(*nodes: NodeState) -> Fleet:
    made = Fleet(0.7)
    for state in nodes:
        made.report(state, T0)
    return made


def said(made: Fleet, **how: Any) -> list[tuple[str, str, str]]:
    """The session goes to the node that the fleet chooses, if there is one."""
    choosing: dict[str, Any] = {"now_ms": T0} | how
    try:
        chosen = made.choose(**choosing).node_id
    except NoPlace:
        chosen = None
    return [(each.node_id, each.verdict, each.why) for each in considered(made, chosen, **choosing)]


def test_the_chosen_node_comes_first_then_the_next_ones_then_those_that_cannot_take_it() -> None:
    made = fleet(
        node("a", load=0.5, warm=2),
        node("b", load=0.2, warm=1),
        node("c", load=0.3, warm=0),
        node("d", draining=True),
        node("e", load=0.93),
        node("f", slots=2, busy=2),
    )

    assert said(made) == [
        ("b", "chosen", "1 warm worker, load 0.20"),
        ("a", "passed", "2 warm workers, load 0.50"),
        ("c", "passed", "no warm worker, load 0.30"),
        ("d", "refused", "draining"),
        ("e", "refused", "load 0.93 over 0.7"),
        ("f", "refused", "full: 2 of 2 jobs"),
    ]


def test_a_session_that_gets_no_node_learns_why_from_each() -> None:
    made = fleet(node("a", draining=True), node("b", slots=1), node("c"))
    made.count_on("session_1", "b")
    made.refused("c")

    assert said(made) == [
        ("a", "refused", "draining"),
        ("b", "refused", "full: 1 of 1 jobs"),
        ("c", "refused", "refused: full"),
    ]


def test_other_regions_and_nodes_that_had_the_call_are_passed_with_the_reason() -> None:
    made = fleet(node("a", region="eu", warm=1), node("b", region="us", warm=1), node("c", warm=1))

    assert said(made, region="eu", tried={"b"}) == [
        ("a", "chosen", "1 warm worker, load 0.10"),
        ("b", "passed", "had this call before; 1 warm worker, load 0.10"),
        ("c", "passed", "other region: none; 1 warm worker, load 0.10"),
    ]


def test_the_node_whose_worker_waits_in_the_room_is_named_as_such() -> None:
    made = fleet(node("a", warm=1), node("b", warm=0, rooms=("session_1",)))

    assert said(made, session_id="session_1")[0] == ("b", "chosen", "its worker waits in the room")


def test_the_chosen_node_is_described_as_it_was_before_it_got_the_job() -> None:
    made = fleet(node("a", warm=1), node("b", warm=0))
    made.count_on("session_1", "a")

    told = considered(made, "a", session_id="session_1", now_ms=T0)

    assert (told[0].verdict, told[0].why) == ("chosen", "1 warm worker, load 0.10")


def test_a_chosen_node_that_was_lost_since_is_left_out() -> None:
    made = fleet(node("a"), node("b"))
    made.lose("a")

    assert [each.node_id for each in considered(made, "a", now_ms=T0)] == ["b"]


def test_a_failed_node_is_suspended_with_the_failure_and_then_tried_last() -> None:
    made = fleet(node("a", warm=1), node("b", warm=1))
    made.failed("b", T0 - 250, "no_worker")

    assert said(made)[1] == ("b", "refused", "suspended for another 0.8 s after a failed start (refused: no_worker)")
    assert said(made, now_ms=T0 + 5_000)[1] == (
        "b",
        "refused",
        "a start failed on it (refused: no_worker): tried only if no other node can take the call",
    )


def test_a_node_that_just_failed_this_session_rests() -> None:
    assert said(fleet(node("a", warm=1), node("b", warm=1)), just_failed={"b"})[1] == (
        "b",
        "refused",
        "just failed to start this session",
    )


@pytest.mark.parametrize("able", [0, 3, 50])
@pytest.mark.parametrize("unable", [0, 3, 50])
def test_it_names_at_most_eight_nodes_of_each_kind(able: int, unable: int) -> None:
    states = [node(f"a{n:02}", warm=1) for n in range(able)] + [node(f"u{n:02}", draining=True) for n in range(unable)]
    verdicts = [verdict for _, verdict, _ in said(fleet(*states))]

    assert len(verdicts) == min(MOST_CONSIDERED, able + unable)
    assert verdicts.count("chosen") == min(able, 1)
    assert verdicts.count("refused") == min(unable, 8 - min(able, 4))


STATES = st.builds(
    node,
    st.sampled_from([f"n{n}" for n in range(12)]),
    draining=st.booleans(),
    load=st.sampled_from([0.1, 0.5, 0.9]),
    warm=st.integers(0, 2),
    slots=st.just(2),
    busy=st.integers(0, 2),
    region=st.sampled_from([None, "eu", "us"]),
)


@given(st.lists(STATES, max_size=20), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
def test_a_refused_node_is_one_that_would_not_have_been_chosen(
    states: list[NodeState], lost: set[int], failed: set[int]
) -> None:
    made = fleet(*states)
    for n in failed:
        made.failed(f"n{n}", T0)
    for n in lost:
        made.lose(f"n{n}")

    told = said(made, region="eu")

    assert len({node_id for node_id, _, _ in told}) == len(told) == min(MOST_CONSIDERED, len(made))
    assert all(node_id in made for node_id, _, _ in told)
    if any(verdict == "passed" for _, verdict, _ in told):
        assert told[0][1] == "chosen"


def test_a_large_fleet_costs_no_more_than_a_small_one() -> None:
    def took(nodes: int) -> float:
        made = fleet(*(node(f"n{n}", draining=n % 2 == 0) for n in range(nodes)))
        chosen = made.choose(now_ms=T0).node_id
        return min(timeit.repeat(lambda: considered(made, chosen, now_ms=T0), number=200, repeat=5))

    assert took(10_000) < 5 * took(100)
