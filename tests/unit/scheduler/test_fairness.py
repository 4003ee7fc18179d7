"""Who is next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from scheduler.domain.fairness import Waiting, fair_order


def w(user: str, arrived: int, *, holds: bool = False) -> Waiting:
    return Waiting(f"session_{arrived}", user, arrived, holds)


def test_users_take_turns_and_each_users_calls_keep_their_order() -> None:
    order = fair_order([w("a", 1), w("a", 2), w("a", 3), w("b", 4)], {})
    assert [entry.arrived for entry in order] == [1, 4, 2, 3]


def test_whoever_runs_fewer_goes_first() -> None:
    order = fair_order([w("a", 1), w("a", 2), w("b", 3)], {"a": 5})
    assert [entry.arrived for entry in order] == [3, 1, 2]


def test_a_session_that_has_its_slot_already_goes_before_all() -> None:
    assert fair_order([w("a", 1), w("b", 9, holds=True)], {"b": 7})[0].arrived == 9


@given(st.lists(st.sampled_from("abc"), max_size=30), st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)))
def test_nobody_is_lost_and_no_user_gets_two_ahead(users: list[str], running: dict[str, int]) -> None:
    waiting = [w(user, n) for n, user in enumerate(users)]
    order = fair_order(waiting, running)
    assert sorted(order, key=lambda e: e.arrived) == waiting
    held = Counter(running)
    left = Counter(users)
    for entry in order:
        assert held[entry.user_id] == min(held[user] for user, n in left.items() if n)
        held[entry.user_id] += 1
        left[entry.user_id] -= 1
