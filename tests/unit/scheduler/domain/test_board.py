"""What the leader has in its head: slots, reservations, and who may begin."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import AgentReady
from scheduler.domain.admission import QueueFull
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.domain.slots import SlotTable
from tests.support.events import T0, assigned, end_requested, ended, queued, requested
from tests.support.scheduler.builders import node
from tests.support.scheduler.world import World


class Scene:
    """A board with some nodes, and a log for its records."""

    def __init__(self, *, max_bots: int = 2, nodes: int = 1, slots: int = 4) -> None:
        self.world = World(Limits(max_bots=max_bots))
        self.board = Board(self.world.limits, T0)
        for n in range(nodes):
            self.board.nodes.changed(f"n{n}", node(f"n{n}", slots=slots, warm=slots), T0)

    def start(self, name: str, user: str = "ann") -> str:
        self.board.record(self.world.write(requested(name, user)))
        self.board.admission.wait(name)
        return name

    def admit(self, now_ms: int = T0) -> list[str]:
        return self.board.admission.admit(now_ms)

    def slot_of(self, name: str) -> int:
        reserved = self.board.slots.reserved.get(name)
        assert reserved is not None
        return reserved.slot


def test_the_lowest_free_slot_is_taken_first() -> None:
    scene = Scene(max_bots=4)
    for name in ("session_a", "session_b", "session_c"):
        scene.start(name)
    scene.admit()
    scene.board.slots.released(1, "session_b")
    scene.board.slots.released(0, "session_a")
    scene.start("session_d")
    scene.admit()
    assert scene.slot_of("session_d") == 0


def test_a_slot_that_changed_hands_during_the_reading_stays_with_its_new_session() -> None:
    scene = Scene(max_bots=1)
    scene.start("session_old")
    scene.admit()
    scene.board.slots.took(0, "session_old")
    mark = scene.board.slots.mark()
    # The bucket is being read, and still holds the old session, when the slot is released and taken again.
    scene.board.slots.released(0, "session_old")
    scene.board.remove("session_old")
    scene.start("session_new")
    scene.admit()
    scene.board.slots.took(0, "session_new")

    scene.board.slots.read({0: "session_old"}, mark)

    assert scene.board.facts("session_new", T0).slot == 0
    assert len(scene.board.slots) == 1


def test_a_slot_that_the_bucket_gives_to_another_is_lost() -> None:
    scene = Scene(max_bots=2)
    scene.start("session_a")
    scene.admit()
    scene.board.slots.took(0, "session_a")
    scene.board.slots.read({0: "session_of_another_leader"}, scene.board.slots.mark())
    assert scene.board.facts("session_a", T0).slot is None
    scene.start("session_b")
    scene.admit()
    assert scene.slot_of("session_b") == 1


def test_a_slot_with_anothers_write_in_it_is_left_alone_until_it_could_be_read() -> None:
    scene = Scene(max_bots=2)
    scene.start("session_a")
    scene.admit()
    scene.board.admission.release("session_a")
    scene.board.slots.contested(0, T0)
    scene.board.admission.wait("session_a")
    scene.start("session_b")

    assert scene.admit() == ["session_a"]
    assert scene.slot_of("session_a") == 1
    assert scene.board.admission.blocked == "max_bots"
    assert scene.admit(T0 + 15_000) == ["session_b"]


def test_a_contested_slot_that_was_read_is_free_when_its_session_leaves_it() -> None:
    table = SlotTable(1)
    table.contest(0, T0 + 15_000)
    table.hold(0, "session_a")
    table.release(0)
    assert table.lowest_free(T0) == 0


def test_the_queue_is_looked_at_only_when_a_slot_and_a_node_are_free() -> None:
    scene = Scene(max_bots=1, slots=1)
    scene.start("session_a")
    assert scene.board.admission.may_admit(T0)
    scene.admit()
    scene.start("session_b")
    assert scene.admit() == []
    assert not scene.board.admission.may_admit(T0)  # a report of a node changes nothing about MAX_BOTS
    scene.board.slots.released(0, "session_a")
    assert not scene.board.admission.may_admit(T0)  # the node is full
    scene.board.remove("session_a")
    assert scene.board.admission.may_admit(T0)
    assert scene.admit() == ["session_b"]
    assert not scene.board.admission.may_admit(T0)  # the queue is empty


def test_a_full_queue_refuses_no_start_that_it_took_before() -> None:
    board, world = Board(Limits(max_queue=1), T0), World(Limits())
    for name in ("session_slot", "session_queued", "session_last", "session_new"):
        board.record(world.write(requested(name)))
    board.slots.took(0, "session_slot")  # admitted, and its `assigned` could not be written
    board.record(world.write(queued("session_queued")))
    board.admission.wait("session_last")

    with pytest.raises(QueueFull):
        board.admission.wait("session_new")
    board.admission.wait("session_slot")
    board.admission.wait("session_queued")
    assert len(board.admission) == 3


def test_one_user_who_fills_the_queue_does_not_keep_out_anothers_first_start() -> None:
    board, world = Board(Limits(max_queue=20), T0), World(Limits())
    for n in range(40):
        board.record(world.write(requested(f"session_{n}", "mallory")))
    for n in range(20):
        board.admission.wait(f"session_{n}")
    with pytest.raises(QueueFull):
        board.admission.wait("session_20")

    for user in ("ann", "bob", "cid"):
        board.record(world.write(requested(f"session_{user}_1", user)))
        board.record(world.write(requested(f"session_{user}_2", user)))
    board.admission.wait("session_ann_1")
    with pytest.raises(QueueFull):
        board.admission.wait("session_ann_2")
    board.admission.wait("session_bob_1")
    with pytest.raises(QueueFull):  # the tenth more is used up
        board.admission.wait("session_cid_1")
    assert board.admission.position("session_ann_1") == 2, "right behind the first of the other user"


def test_an_agent_that_got_ready_clears_its_node() -> None:
    scene = Scene(max_bots=2)
    scene.start("session_a")
    scene.admit()
    scene.board.fleet.failed("n0", T0)
    assert scene.board.fleet.suspended(T0) == {"n0"}
    ready = AgentReady(session_id="session_a", time=requested().time, epoch=1, node_id="n0", pid=1, log_file="x")
    scene.board.record(scene.world.write(ready))
    assert scene.board.fleet.suspended(T0) == set()


def test_an_end_that_was_asked_for_before_the_start_ends_it() -> None:
    scene = Scene(max_bots=1)
    assert scene.board.record(scene.world.write(end_requested(session_id="session_a"))) is None
    assert "session_a" not in scene.board.roster
    scene.start("session_a")
    session = scene.board.roster.session("session_a")
    assert session is not None
    assert session.end_asked is not None


def test_of_ends_that_no_start_follows_the_oldest_are_dropped() -> None:
    scene = Scene(max_bots=1)
    for n in range(1025):
        scene.board.record(scene.world.write(end_requested(session_id=f"session_{n}")))
    asked: list[bool] = []
    for session_id in ("session_0", "session_1"):
        scene.start(session_id)
        session = scene.board.roster.session(session_id)
        asked.append(session is not None and session.end_asked is not None)
    assert asked == [False, True]


moves = st.lists(
    st.tuples(
        st.sampled_from(["start", "admit", "take", "assign", "end", "forget", "free", "read", "release"]),
        st.integers(0, 7),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(moves)
def test_each_users_running_sessions_are_those_that_hold_a_slot(steps: list[tuple[str, int, int]]) -> None:
    """The counts are kept step by step, and agree with a count over all slots."""
    scene = Scene(max_bots=3, nodes=2)
    board = scene.board
    users = {f"session_{n}": "abc"[n % 3] for n in range(8)}
    for move, n, key in steps:
        name = f"session_{n}"
        known = name in board.roster
        match move:
            case "start" if not known:
                board.record(scene.world.write(requested(name, users[name])))
                board.admission.wait(name)
            case "admit":
                scene.admit()
            case "take":
                board.slots.took(key, name)
            case "assign" if known:
                board.record(scene.world.write(assigned(session_id=name)))
                board.admission.began(name)
            case "end" if known:
                board.record(scene.world.write(ended(session_id=name)))
            case "forget":
                board.remove(name)
            case "free":
                board.slots.released(key, name)
            case "read":
                board.slots.read({key: name}, board.slots.mark())
            case "release":
                board.admission.release(name)
            case _:
                pass
        table, queue = board.slots._table, board.admission._queue  # pyright: ignore[reportPrivateUsage]
        owners = [table.owner(held) for held in table]
        counted = Counter(
            users[owner]
            for owner in owners
            if owner is not None and (found := board.roster.session(owner)) is not None and found.requested is not None
        )
        assert {user: queue.running(user) for user in "abc"} == {user: counted[user] for user in "abc"}
        free = table.lowest_free(T0)
        assert free == next((k for k in range(3) if len(table) < 3 and k not in set(table)), None)
