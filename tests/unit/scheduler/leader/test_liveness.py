"""A node is lost when its key is gone, a second look does not find it, and it is not one of too many at once."""

import pytest

from contracts.events import JobAssigned
from scheduler.domain.limits import Limits
from scheduler.domain.liveness import Judgement, judge
from scheduler.leader.liveness import Liveness
from tests.support.events import assigned, ready, requested
from tests.support.scheduler.world import Leader, World, settle

LEASE_MS = 4_000
GONE = Judgement({})


def test_one_node_that_is_gone_is_lost_at_once() -> None:
    lost, _ = judge(["n1"], 1, GONE.ended("n1", 0), 100, LEASE_MS)
    assert lost == {"n1"}


@pytest.mark.parametrize(("gone", "alive", "braked"), [(2, 0, False), (3, 5, True), (3, 40, False), (11, 89, True)])
def test_more_than_a_tenth_of_the_fleet_and_at_least_three_are_held_back(gone: int, alive: int, braked: bool) -> None:
    names = [f"n{n}" for n in range(gone)]
    lost, known = judge(names, alive, GONE, 0, LEASE_MS)
    assert (lost, known.held) == ((frozenset(), set(names)) if braked else (set(names), frozenset()))


def test_those_that_are_gone_a_lease_later_are_lost() -> None:
    _, known = judge(["n1", "n2", "n3"], 3, GONE, 0, LEASE_MS)
    assert judge(["n1", "n2", "n3"], 3, known, LEASE_MS - 1, LEASE_MS)[0] == frozenset()
    assert judge(["n1", "n3"], 4, known, LEASE_MS, LEASE_MS)[0] == {"n1", "n3"}


def test_nodes_that_go_one_after_the_other_within_a_lease_count_together() -> None:
    known = GONE
    for n, at_ms in enumerate((0, 1_000, 2_000)):
        known = known.ended(f"n{n}", at_ms)
        lost, known = judge([f"n{n}"], 10, known, at_ms, LEASE_MS)
        assert lost == ({f"n{n}"} if n < 2 else frozenset())


def test_nodes_that_went_earlier_do_not_count() -> None:
    known = GONE.ended("n1", 0).ended("n2", 0)
    assert judge(["n3"], 10, known.ended("n3", 5_000), 5_000, LEASE_MS)[0] == {"n3"}


def test_a_node_that_came_back_does_not_count() -> None:
    known = GONE.ended("n1", 0).ended("n2", 0).back("n1")
    assert judge(["n3"], 10, known, 100, LEASE_MS)[0] == {"n3"}


class Scene:
    """One leader, and a call on each node."""

    def __init__(self, nodes: int) -> None:
        self.world = World(Limits(max_bots=100, node_lease_ms=LEASE_MS))
        for n in range(nodes):
            self.world.add_node(f"n{n}")
            sid = f"session_{n}"
            for event in (requested(sid), assigned(1, f"n{n}", session_id=sid), ready(1, f"n{n}", session_id=sid)):
                self.world.write(event)

    async def begin(self) -> None:
        self.leader = Leader(self.world)
        self.liveness = Liveness(self.leader.conductor, self.world)
        await self.leader.begin()
        self.world.monotonic_s += LEASE_MS / 1000

    async def look(self) -> None:
        await self.liveness._look()  # pyright: ignore[reportPrivateUsage]
        await settle()

    @property
    def taken_over(self) -> set[str]:
        events = (record.event for record in self.world.records)
        return {e.session_id for e in events if isinstance(e, JobAssigned) and e.epoch > 1}


async def scene_of(nodes: int) -> Scene:
    scene = Scene(nodes)
    await scene.begin()
    return scene


async def test_a_lost_nodes_calls_get_the_next_epoch() -> None:
    scene = await scene_of(2)
    del scene.world.states["n0"]
    scene.liveness.changed("n0", None)
    await settle()
    assert scene.taken_over == set()

    await scene.look()
    assert scene.taken_over == {"session_0"}


async def test_a_key_that_is_there_at_the_second_look_saves_the_node() -> None:
    scene = await scene_of(2)
    scene.liveness.changed("n0", None)  # what a reader overlooked, or a replica that is behind
    await scene.look()

    assert scene.taken_over == set()
    assert "n0" in scene.leader.board.fleet


async def test_a_node_without_a_key_that_answers_keeps_its_calls_and_gets_no_more() -> None:
    scene = await scene_of(2)
    scene.world.keyless.add("n0")
    scene.liveness.changed("n0", None)
    for _ in range(3):
        await scene.look()
        scene.world.monotonic_s += LEASE_MS / 1000
    assert scene.taken_over == set()
    assert "n0" not in scene.leader.board.fleet

    del scene.world.states["n0"]
    await scene.look()
    assert scene.taken_over == {"session_0"}


async def test_without_nats_no_node_is_lost() -> None:
    scene = await scene_of(2)
    del scene.world.states["n0"]
    scene.liveness.changed("n0", None)
    scene.world.down = True
    await scene.look()
    scene.world.down = False
    assert scene.taken_over == set()


async def test_many_nodes_gone_at_once_wait_a_lease_and_those_that_came_back_keep_their_calls() -> None:
    scene = await scene_of(8)
    states = {name: scene.world.states.pop(name) for name in ("n0", "n1", "n2", "n3")}
    for name in states:
        scene.liveness.changed(name, None)
    await scene.look()
    assert scene.taken_over == set()

    for name in ("n0", "n1", "n2"):
        scene.world.states[name] = states[name]
        scene.liveness.changed(name, states[name])
    scene.world.monotonic_s += LEASE_MS / 1000
    await scene.look()
    assert scene.taken_over == {"session_3"}


async def test_a_node_that_was_gone_before_this_leader_began_is_lost_after_a_lease() -> None:
    scene = Scene(2)
    del scene.world.states["n0"]
    scene.leader = Leader(scene.world)
    scene.liveness = Liveness(scene.leader.conductor, scene.world)
    await scene.leader.begin()
    await scene.look()
    assert scene.taken_over == set()

    scene.world.monotonic_s += LEASE_MS / 1000
    await scene.look()
    assert scene.taken_over == {"session_0"}
