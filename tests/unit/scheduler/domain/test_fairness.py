"""Who is next: the queue decides as a plain sort of all that wait would, at a cost that hardly grows."""

from collections import Counter
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from scheduler.domain import fairness
from scheduler.domain.fairness import FairQueue, Waiting
from scheduler.domain.rounds import Rounds


def w(user: str, arrived: int, *, holds: bool = False) -> Waiting:
    return Waiting(f"session_{arrived}", user, arrived, holds)


def fair_order(waiting: Iterable[Waiting], running: Mapping[str, int]) -> list[Waiting]:
    """The rule: a user's n-th session stands in round n plus the number of that user's sessions that run."""
    seen: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int, Waiting]] = []
    for entry in sorted(waiting, key=lambda w: w.arrived):
        ranked.append((not entry.holds_slot, running.get(entry.user_id, 0) + seen[entry.user_id], entry.arrived, entry))
        seen[entry.user_id] += 1
    return [r[3] for r in sorted(ranked, key=lambda r: r[:3])]


def queue_of(*waiting: Waiting, running: Mapping[str, int] | None = None) -> FairQueue:
    queue = FairQueue()
    for user, n in (running or {}).items():
        queue.runs(user, n)
    for entry in waiting:
        queue.add(entry)
    return queue


def admitted(queue: FairQueue) -> list[int]:
    """The arrivals in the order in which they get their slots."""
    order: list[int] = []
    while (first := queue.first()) is not None:
        queue.remove(first.session_id)
        if not first.holds_slot:
            queue.runs(first.user_id, 1)
        order.append(first.arrived)
    return order


def test_users_take_turns_and_each_users_calls_keep_their_order() -> None:
    assert admitted(queue_of(w("a", 1), w("a", 2), w("a", 3), w("b", 4))) == [1, 4, 2, 3]


def test_the_user_who_runs_fewer_goes_first() -> None:
    assert admitted(queue_of(w("a", 1), w("a", 2), w("b", 3), running={"a": 5})) == [3, 1, 2]


def test_a_session_that_has_its_slot_already_goes_before_all() -> None:
    assert admitted(queue_of(w("a", 1), w("b", 9, holds=True), running={"b": 7})) == [9, 1]


def test_a_session_that_does_not_wait_would_come_last() -> None:
    assert queue_of(w("a", 1)).position("session_2") == 2


class AgainstASort(RuleBasedStateMachine):
    """Arrivals, ends, cancels and admissions in any order; after each the queue agrees with the sort."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.waiting: dict[str, Waiting] = {}
        self.running: Counter[str] = Counter()
        self.arrived = 0

    @rule(user=st.sampled_from("abc"), late=st.integers(0, 3), holds=st.sampled_from([False, False, False, True]))
    def one_arrives(self, user: str, late: int, holds: bool) -> None:
        """Perhaps later than others that stand behind it in the log: sessions take their steps side by side."""
        self.arrived += 10
        entry = w(user, self.arrived - 11 * late, holds=holds)
        if holds and entry.session_id not in self.waiting:
            self.run(user, 1)
        self.waiting.setdefault(entry.session_id, entry)
        self.queue.add(entry)

    def run(self, user: str, n: int) -> None:
        self.running[user] += n
        self.queue.runs(user, n)

    @precondition(lambda self: self.waiting)
    @rule()
    def the_first_is_admitted(self) -> None:
        first = fair_order(self.waiting.values(), self.running)[0]
        del self.waiting[first.session_id]
        self.queue.remove(first.session_id)
        if not first.holds_slot:
            self.run(first.user_id, 1)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def one_gives_up(self, data: st.DataObject) -> None:
        gone = self.waiting.pop(data.draw(st.sampled_from(sorted(self.waiting))))
        self.queue.remove(gone.session_id)
        if gone.holds_slot:
            self.run(gone.user_id, -1)

    @rule(user=st.sampled_from("abc"), n=st.integers(1, 70))
    def some_run_that_never_waited(self, user: str, n: int) -> None:
        self.run(user, n)

    @rule(user=st.sampled_from("abc"), n=st.integers(1, 3))
    def some_calls_end(self, user: str, n: int) -> None:
        held = sum(entry.holds_slot for entry in self.waiting.values() if entry.user_id == user)
        self.run(user, -min(n, self.running[user] - held))

    @invariant()
    def the_first_and_all_places_are_those_of_the_sort(self) -> None:
        order = fair_order(self.waiting.values(), self.running)
        assert len(self.queue) == len(order)
        assert self.queue.first() == (order[0] if order else None)
        assert [self.queue.position(entry.session_id) for entry in order] == list(range(1, len(order) + 1))


AgainstASort.TestCase.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
TestAgainstASort = AgainstASort.TestCase


@pytest.mark.parametrize("users", [1, 50, 100_000])
def test_the_work_for_one_session_hardly_grows_with_the_queue(users: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons and tree steps for one arrival with its position, one admission and one end."""

    def work(size: int) -> int:
        queue = queue_of(*(w(f"u{n % users}", n) for n in range(size)), running={"u0": 3})
        steps = 0

        def count(function: object) -> object:
            def counted(*arguments: object, **named: object) -> object:
                nonlocal steps
                steps += 1 + len(arguments[0]).bit_length()  # type: ignore[arg-type]
                return function(*arguments, **named)  # type: ignore[operator]

            return counted

        with monkeypatch.context() as patched:
            for name in ("bisect_left", "insort"):
                patched.setattr(fairness, name, count(getattr(fairness, name)))
            queue.add(w("new", size))
            queue.position(f"session_{size}")
            first = queue.first()
            assert first is not None
            queue.remove(first.session_id)
            queue.runs(first.user_id, 1)
            queue.runs(first.user_id, -1)
        return steps

    assert work(10_000) < 3 * work(100) < 1_000


def test_a_round_counts_what_stands_before_it_however_many_rounds_there_are() -> None:
    rounds = Rounds()
    for number in range(0, 1_000, 7):
        rounds.add(number, number % 5 + 1)
    for number in range(0, 1_000, 14):
        rounds.add(number, -(number % 5 + 1))
    present = {n: n % 5 + 1 for n in range(0, 1_000, 7) if n % 14}
    for number in (0, 7, 63, 64, 65, 500, 999, 5_000):
        assert rounds.before(number) == sum(n for at, n in present.items() if at < number)
        assert rounds.at(number) == present.get(number, 0)
