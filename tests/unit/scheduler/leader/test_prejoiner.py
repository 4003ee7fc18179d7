"""How many rooms are prejoined, on which nodes, and when unused ones are retired."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commands import PrejoinRoom
from contracts.registry import PrejoinedRoom
from scheduler.domain.board import Board
from scheduler.domain.limits import Limits
from scheduler.domain.prejoining import CLAIM_MS, ListedRoom, Prejoining, choose_node, missing, surplus
from scheduler.leader import prejoiner as module
from scheduler.leader.prejoiner import Prejoiner, PrejoinPlan
from scheduler.ports import NotAccepted
from tests.support.events import T0, requested
from tests.support.scheduler.builders import at_ms, node
from tests.support.scheduler.fakes import FakePrejoinedRooms
from tests.support.scheduler.world import World


def room(session_id: str, *, expires_in_s: float = 600, node_id: str = "n1") -> PrejoinedRoom:
    return PrejoinedRoom(
        session_id=session_id,
        node_id=node_id,
        joined_at=at_ms(T0),
        expires_at=at_ms(T0) + timedelta(seconds=expires_in_s),
    )


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_there_are_never_more_rooms_than_asked_for(size: int, ready: int, joining: int) -> None:
    assert missing(size, ready=ready, joining=joining) + ready + joining <= max(size, ready + joining)


def test_what_is_above_the_size_goes_and_the_freshest_stay() -> None:
    old, fresh = room("session_old", expires_in_s=60), room("session_fresh")
    assert surplus(1, [fresh, old]) == [old]
    assert surplus(2, [fresh, old]) == []
    assert surplus(0, [fresh, old]) == [old, fresh]


def test_rooms_are_spread_and_warm_nodes_come_first() -> None:
    assert choose_node([node("a", rooms=("session_1",)), node("b", warm=0)], (), max_load=0.7) == node("b", warm=0)
    assert choose_node([node("a", warm=0), node("b")], (), max_load=0.7) == node("b")


def test_a_node_that_has_no_slot_or_is_busy_joining_gets_none() -> None:
    taken = node("a", slots=2, busy=1, rooms=("session_1",))
    assert choose_node([taken, node("b", draining=True), node("c", load=0.7)], (), max_load=0.7) is None
    assert choose_node([node("a")], {"a"}, max_load=0.7) is None


def test_a_key_that_nats_brought_back_is_known_by_its_node_which_does_not_list_the_room() -> None:
    state = Prejoining(2, T0)
    for session_id in ("session_back", "session_waits", "session_orphaned"):
        found = room(session_id, node_id="n2" if session_id == "session_orphaned" else "n1")
        state.changed(session_id, ListedRoom(found, 1), T0)
    nodes = [node("n1", rooms=("session_waits",))]

    assert state.returned(nodes, T0) == []
    assert state.returned([node("n1", rooms=("session_waits", "session_back"))], T0 + 4_000) == [], (
        "it was slow to say so"
    )
    assert state.returned(nodes, T0 + 5_000) == []
    assert [found.room.session_id for found in state.returned(nodes, T0 + 10_000)] == ["session_back"]
    assert state.returned([], T0 + 20_000) == [], "NATS lost the nodes' keys, and they come back in a moment"


class Scene:
    """A leader's prejoiner over one node, with a bucket that the test fills."""

    def __init__(self, size: int) -> None:
        self.world = World(Limits())
        self.ordered: list[tuple[str, PrejoinRoom]] = []
        self.rooms = FakePrejoinedRooms()
        self.refuses: set[str] = set()
        self.board = Board(Limits(), self.world.now_ms())
        self.board.fleet.report(node("n1", slots=9))
        self._n = 0
        plan = PrejoinPlan(size=size, max_age_s=100, livekit_url="ws://x", mint=self._mint, chance=lambda: 0.5)
        self.prejoiner = Prejoiner(
            plan,
            self.board,
            self.world,  # pyright: ignore[reportArgumentType]
            self,  # pyright: ignore[reportArgumentType]
            self.world,
            self.rooms,
            now_ms=self.world.now_ms,
            is_acting=lambda: True,
        )
        self._running = asyncio.ensure_future(self.prejoiner.run())

    def _mint(self, now_ms: int) -> str:
        self._n += 1
        return f"session_{now_ms}_{self._n}"

    @property
    def offered(self) -> dict[str, ListedRoom]:
        return self.rooms.offered

    async def prejoin(self, node_id: str, order: PrejoinRoom) -> None:
        self.ordered.append((node_id, order))
        if node_id in self.refuses:
            raise NotAccepted("full")
        self.offer(order.session_id)

    def offer(self, session_id: str) -> None:
        self.rooms.offer(room(session_id))

    def lose(self, session_id: str) -> None:
        """The room was claimed or deleted."""
        self.rooms.take(session_id)

    def later(self, ms: int) -> None:
        self.world.monotonic_s += ms / 1000

    async def looks(self, n: int = 1) -> None:
        for _ in range(n):
            await asyncio.sleep(0.012)

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.wait([self._running])


@pytest.fixture
async def scene(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Scene]]:
    monkeypatch.setattr(module, "_LOOK_S", 0.005)
    made: list[Scene] = []

    def make(size: int = 2) -> Scene:
        made.append(Scene(size))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_rooms_are_made_joined_and_counted_until_there_are_enough(scene: Callable[..., Scene]) -> None:
    s = scene()
    await s.looks(5)

    assert len(s.ordered) == len(s.offered) == 2
    assert s.world.rooms == set(s.offered)
    _, order = s.ordered[0]
    assert (order.token, order.max_age_s) == (f"{order.session_id}/1", 90)


async def test_a_taken_room_is_replaced_after_a_moment(scene: Callable[..., Scene]) -> None:
    s = scene(1)
    await s.looks(3)
    s.lose(next(iter(s.offered)))
    await s.looks(3)
    assert s.offered == {}

    s.later(1_000)
    await s.looks(3)

    assert len(s.offered) == 1


async def test_a_taken_room_without_a_session_is_deleted_and_one_with_a_session_stays(
    scene: Callable[..., Scene],
) -> None:
    s = scene()
    await s.looks(5)
    used, unused = s.offered
    s.lose(used)
    s.lose(unused)
    s.world.write(requested(used))
    s.later(CLAIM_MS - 1)
    await s.looks(2)
    assert {used, unused} <= s.world.rooms
    assert s.prejoiner.is_prejoined(unused)

    s.later(1)
    await s.looks(2)

    assert used in s.world.rooms
    assert unused not in s.world.rooms
    assert not s.prejoiner.is_prejoined(unused)


async def test_a_node_that_refuses_is_not_asked_in_a_loop_and_leaves_no_room(scene: Callable[..., Scene]) -> None:
    s = scene(1)
    s.refuses = {"n1"}
    await s.looks(5)
    assert len(s.ordered) == 1
    s.later(1_000)
    await s.looks(3)
    assert len(s.ordered) == 2

    s.later(CLAIM_MS)
    await s.looks(3)

    assert not {order.session_id for _, order in s.ordered[:2]} & s.world.rooms


async def test_a_node_that_refuses_keeps_no_other_from_being_asked(scene: Callable[..., Scene]) -> None:
    s = scene(2)
    s.board.fleet.report(node("n2", slots=9, warm=0))
    s.refuses = {"n1"}

    await s.looks(6)

    assert [name for name, _ in s.ordered] == ["n1", "n2", "n2"]
    assert len(s.offered) == 2


async def test_what_a_former_leader_left_over_is_taken_back(scene: Callable[..., Scene]) -> None:
    s = scene(0)
    await s.looks()
    s.offer("session_1")
    await s.looks(2)

    assert s.offered == {}
    assert s.ordered == []


async def test_a_bug_at_one_look_ends_no_term(scene: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene(0)
    await s.looks()

    async def bug(_room: ListedRoom) -> None:
        raise RuntimeError("bug")

    with monkeypatch.context() as broken:
        broken.setattr(s.rooms, "retire", bug)
        s.offer("session_1")
        await s.looks(2)
    await s.looks(2)

    assert s.offered == {}


async def test_a_new_leader_takes_no_room_for_an_orphan_before_it_can_know(scene: Callable[..., Scene]) -> None:
    s = scene(1)
    assert s.prejoiner.is_prejoined("session_of_somebody")
    await s.looks()
    s.later(CLAIM_MS)
    assert not s.prejoiner.is_prejoined("session_of_somebody")
