"""Which node runs a job."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.registry import NodeJob, NodeState
from scheduler.domain.fleet import Fleet
from scheduler.domain.placement import NoPlace, rank
from tests.support.events import T0
from tests.support.scheduler.builders import at_ms, node


def fleet(*nodes: object, max_load: float = 0.7) -> Fleet:
    made = Fleet(max_load)
    for state in nodes:
        made.report(state)  # type: ignore[arg-type]
    return made


def chosen(made: Fleet, **how: object) -> str:
    return made.choose(**how).node_id  # type: ignore[arg-type]


def test_the_least_loaded_node_is_chosen() -> None:
    assert chosen(fleet(node("a", load=0.5), node("b", load=0.2), node("c", load=0.3))) == "b"


def test_the_region_comes_before_the_load() -> None:
    made = fleet(node("a", load=0.1, region="us"), node("b", load=0.6, region="eu"))
    assert chosen(made, region="eu") == "b"
    assert chosen(made, region="asia") == "a"


def test_a_warm_worker_comes_before_the_load() -> None:
    assert chosen(fleet(node("a", warm=0, load=0.1), node("b", warm=1, load=0.4))) == "b"


def test_the_node_whose_worker_waits_in_the_room_comes_before_all() -> None:
    made = fleet(node("a", load=0.1, region="eu"), node("b", load=0.6, warm=0, rooms=("session_1",)))
    assert chosen(made, session_id="session_1", region="eu") == "b"
    assert chosen(made, session_id="session_2") == "a"


@pytest.mark.parametrize("change", [{"draining": True}, {"load": 0.9}, {"rooms": ()}, {"slots": 1, "busy": 1}])
def test_a_node_that_cannot_take_the_job_loses_it_whoever_waits_there(change: dict[str, object]) -> None:
    made = fleet(node("a"), node("b", rooms=("session_1",)))
    made.report(node("b", **{"rooms": ("session_1",), **change}))  # type: ignore[arg-type]
    assert chosen(made, session_id="session_1") == "a"


def test_a_lost_node_is_not_chosen_for_its_room_and_a_tried_one_not_again() -> None:
    made = fleet(node("a"), node("b", rooms=("session_1",)))
    assert chosen(made, session_id="session_1", tried={"b"}) == "a"
    made.lose("b")
    assert chosen(made, session_id="session_1") == "a"


def test_a_room_counts_as_load() -> None:
    assert chosen(fleet(node("a", rooms=("session_1", "session_2")), node("b", busy=1))) == "b"


def test_a_tried_node_is_taken_only_when_no_other_can() -> None:
    made = fleet(node("a", load=0.1, region="eu"), node("b", load=0.6))
    assert chosen(made, region="eu", tried={"a"}) == "b"
    assert chosen(made, tried={"a", "b"}) == "a"
    assert chosen(made, tried={"a", "b"}, just_failed={"a"}) == "b"


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ([], "no_nodes"),
        ([node(draining=True)], "nodes_draining"),
        ([node(slots=1, busy=1)], "no_capacity"),
        ([node(load=0.7)], "nodes_overloaded"),
        ([node(draining=True), node("b", slots=1, busy=1)], "no_capacity"),
    ],
)
def test_a_refusal_says_why(nodes: list[object], reason: str) -> None:
    with pytest.raises(NoPlace) as none:
        fleet(*nodes).choose()
    assert none.value.reason == reason


def test_only_nodes_that_just_failed_are_left() -> None:
    with pytest.raises(NoPlace, match="no_other_node"):
        fleet(node("a")).choose(just_failed={"a"})


def test_a_burst_between_two_reports_fills_each_node_and_no_more() -> None:
    made = fleet(node("a", slots=3), node("b", slots=2))
    got: list[str] = []
    for n in range(5):
        got.append(chosen(made))
        made.count_on(f"s{n}", got[-1])
    assert sorted(got) == ["a", "a", "a", "b", "b"]
    with pytest.raises(NoPlace, match="no_capacity"):
        made.choose()


def test_a_job_that_the_node_lists_is_counted_once() -> None:
    made = fleet(node("a", slots=2))
    made.count_on("session_1", "a")
    made.report(node("a", slots=2, busy=1, jobs=(NodeJob(session_id="session_1", epoch=1, pid=3),)))
    assert chosen(made) == "a"
    made.count_on("session_2", "a")
    with pytest.raises(NoPlace, match="no_capacity"):
        made.choose()
    made.release("session_2")
    assert chosen(made) == "a"


def test_a_node_that_comes_back_still_counts_what_was_placed_on_it() -> None:
    made = fleet(node("a", slots=1))
    made.count_on("session_1", "a")
    for _ in range(2):
        made.lose("a")
        assert "a" not in made
    made.report(node("a", slots=1))
    with pytest.raises(NoPlace, match="no_capacity"):
        made.choose()


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.integers(1, 3),
            st.integers(0, 3),
            st.sampled_from([0.0, 0.3, 0.69, 0.7, 0.9]),
            st.booleans(),
            st.sampled_from([None, "eu", "us"]),
        ),
        max_size=12,
    ),
    st.lists(
        st.tuples(st.sampled_from(["place", "release", "lose"]), st.integers(0, 5), st.sampled_from("abcd")),
        max_size=20,
    ),
    st.sampled_from([None, "eu"]),
)
def test_the_choice_is_always_able_and_the_index_agrees_with_the_least_rank(
    reports: list[tuple[str, int, int, float, bool, str | None]],
    moves: list[tuple[str, int, str]],
    region: str | None,
) -> None:
    made = Fleet(0.7)
    live: dict[str, NodeState] = {}
    placed: dict[str, str] = {}
    for name, slots, busy, load, draining, where in reports:
        state = node(name, slots=slots, busy=busy, load=load, draining=draining, region=where)
        made.report(state)
        live[name] = state
    for move, n, name in moves:
        if move == "place":
            made.count_on(f"s{n}", name)
            placed[f"s{n}"] = name
        elif move == "release":
            made.release(f"s{n}")
            placed.pop(f"s{n}", None)
        else:
            made.lose(name)
            live.pop(name, None)
    able = {
        name
        for name, state in live.items()
        if not state.draining
        and state.busy + sum(1 for at in placed.values() if at == name) < state.slots
        and state.load < 0.7
    }
    try:
        got = made.choose(region=region)
    except NoPlace:
        assert not able
        return
    assert got.node_id in able
    local = {name for name in able if region is not None and live[name].region == region}
    ranks = {n: rank(live[n], sum(at == n for at in placed.values()), max_load=0.7) for n in local or able}
    assert ranks[got.node_id] == min(found for found in ranks.values() if found is not None)


def test_a_choice_among_ten_thousand_nodes_takes_microseconds() -> None:
    made = fleet(*(node(f"n{n}", slots=50, load=(n % 60) / 100, region=f"r{n % 5}") for n in range(10_000)))
    began = time.perf_counter()
    for n in range(2_000):
        made.count_on(f"s{n}", chosen(made, region=f"r{n % 7}"))
    each_us = (time.perf_counter() - began) / 2_000 * 1e6
    assert each_us < 1_000, f"{each_us:.0f} us"


def test_a_node_that_failed_is_suspended_and_others_get_the_starts() -> None:
    made = fleet(node("a", load=0.1), node("b", load=0.6))
    made.failed("a", T0)
    assert chosen(made, now_ms=T0) == "b"
    assert chosen(made, now_ms=T0 + 60_000) == "b"  # a node that works comes first, however loaded
    made.report(node("b", draining=True))
    with pytest.raises(NoPlace, match="nodes_failing"):
        chosen(made, now_ms=T0 + 999)
    assert made.next_trial_ms() == T0 + 1_000


def test_a_failing_node_is_tried_with_one_start_at_a_time_after_pauses_that_grow() -> None:
    made = fleet(node("a"))
    now, pauses = T0, list[int]()
    for _ in range(7):
        made.failed("a", now)
        due = made.next_trial_ms()
        assert due is not None
        pauses.append(due - now)
        now = due
        assert made.can_take_one(now)
        assert not made.can_take_one(now - 1)
        assert chosen(made, now_ms=now) == "a"
        with pytest.raises(NoPlace, match="nodes_failing"):  # its trial is under way
            chosen(made, now_ms=now + 4_999)
    assert pauses == [1_000, 2_000, 4_000, 8_000, 15_000, 15_000, 15_000]
    made.proved("a", now)
    assert chosen(made, now_ms=now) == chosen(made, now_ms=now) == "a"


def test_starts_that_were_under_way_when_the_first_failed_do_not_lengthen_the_pause() -> None:
    made = fleet(node("a"))
    for ms in (0, 10, 500, 999):
        made.failed("a", T0 + ms)
    assert made.next_trial_ms() == T0 + 1_000


def test_an_agent_that_got_ready_before_the_failure_clears_nothing() -> None:
    made = fleet(node("a"))
    made.failed("a", T0)
    made.proved("a", T0 - 1)
    assert made.suspended(T0) == {"a"}


@pytest.mark.parametrize("how", ["restarted", "lost", "long ago"])
def test_a_failure_is_forgotten(how: str) -> None:
    made = fleet(node("a"), node("b", load=0.5))
    made.failed("a", T0)
    if how == "restarted":
        made.report(node("a").model_copy(update={"started_at": at_ms(T0 + 5_000)}), T0)
    elif how == "lost":
        made.lose("a")
        made.report(node("a"), T0)
    else:
        made.report(node("a"), T0 + 300_000)
    assert chosen(made, now_ms=T0) == "a"


def test_the_node_whose_pause_expired_first_is_tried_first_and_one_that_just_failed_not() -> None:
    made = fleet(node("a"), node("b"), node("c"))
    for name, ms in (("b", 0), ("a", 100), ("c", 200)):
        made.failed(name, T0 + ms)
    assert chosen(made, now_ms=T0 + 5_000, just_failed={"b"}) == "a"
    assert chosen(made, now_ms=T0 + 5_000) == "b"
    assert chosen(made, now_ms=T0 + 5_000) == "c"


def test_a_node_that_says_it_is_full_gets_nothing_before_its_next_report() -> None:
    made = fleet(node("a", load=0.1), node("b", load=0.6))
    made.refused("a")
    assert chosen(made) == "b"
    made.refused("b")
    with pytest.raises(NoPlace, match="no_capacity"):
        chosen(made)
    made.report(node("a"))
    assert chosen(made) == "a"


def test_why_no_node_can_is_known_without_asking_each(monkeypatch: pytest.MonkeyPatch) -> None:
    made = fleet(*(node(f"n{n}", slots=1, busy=1) for n in range(500)))
    asked = 0

    def has_free_slot(*_: object) -> bool:
        nonlocal asked
        asked += 1
        return False

    monkeypatch.setattr("scheduler.domain.ranking.has_free_slot", has_free_slot)
    for _ in range(100):
        with pytest.raises(NoPlace, match="no_capacity"):
            made.choose()
    assert asked == 0
