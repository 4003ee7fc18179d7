"""The rooms joined ahead on a node, with workers and a bucket that do what the test says."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_runner.link.messages import End, Joined, Prejoin, Removed, Stopped, ToSupervisor
from contracts.causes import Cause
from contracts.commands import CommandFailed, PrejoinRoom, RoomPrejoined
from contracts.deadlines import PREJOINED_RENEW_S
from tests.support.agent_runner.fakes import FakeWorker
from tests.support.agent_runner.node_scene import NodeScene

SID = "session_1"


class Scene(NodeScene):
    """A node with three slots and one warm worker."""

    def __init__(self, *, slots: int = 3) -> None:
        super().__init__(slots=slots)
        self.announced: list[tuple[str, ...]] = []

    async def announce(self) -> None:
        self.announced.append(self.rooms.ids)

    async def settle(self) -> None:
        for _ in range(30):
            await asyncio.sleep(0)
            self.forks.get_ready()

    async def look(self) -> None:
        """Time has passed."""
        self.rooms.look(0)
        await self.settle()

    async def joined(self, session_id: str = SID, max_age_s: float = 600) -> FakeWorker:
        """A worker waits in this room."""
        filling = asyncio.ensure_future(self.rooms.fill(order(session_id, max_age_s), announce=self.announce))
        await self.settle()
        worker = self.in_room(session_id)
        worker.say(Joined())
        assert isinstance(await filling, RoomPrejoined)
        return worker

    def in_room(self, session_id: str) -> FakeWorker:
        return next(
            w for w in self.forks.workers for t in w.told if isinstance(t, Prejoin) and t.session_id == session_id
        )


def order(session_id: str = SID, max_age_s: float = 600) -> PrejoinRoom:
    return PrejoinRoom(session_id=session_id, url="ws://x", token="t", max_age_s=max_age_s)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    await scene.settle()
    yield scene
    scene.close()


async def test_a_room_is_named_in_the_nodes_entry_before_anybody_can_take_it(scene: Scene) -> None:
    offered_when: list[list[tuple[str, ...]]] = []
    scene.keys.on_offer = lambda: offered_when.append(list(scene.announced))

    await scene.joined()

    assert offered_when == [[(SID,)]]
    assert scene.keys.offered == {SID: 1}
    assert (scene.pool.state.held, scene.pool.state.jobs) == (1, 0)


async def test_the_same_command_again_finds_the_room_and_joins_no_second_time(scene: Scene) -> None:
    worker = await scene.joined()

    again = await scene.rooms.fill(order(), announce=scene.announce)

    assert again == RoomPrejoined(node_id="n1", pid=worker.pid)
    assert scene.pool.state.held == 1


async def test_a_job_takes_the_worker_and_the_slot(scene: Scene) -> None:
    worker = await scene.joined()
    del scene.keys.offered[SID]

    assert scene.rooms.take(SID) is worker
    assert scene.rooms.take(SID) is None
    assert (scene.pool.state.held, scene.rooms.ids) == (0, ())
    await scene.look()
    assert End() not in worker.told


async def test_a_worker_that_missed_two_beats_is_killed_before_a_job_gets_another(scene: Scene) -> None:
    worker = await scene.joined()
    scene.rooms.look(1.0)

    assert scene.rooms.take(SID) is None
    assert worker.killed
    assert End() not in worker.told
    assert scene.pool.state.held == 0


@pytest.mark.parametrize(
    "word",
    [Removed(duplicate=False, reason="STATE_MISMATCH"), Stopped(cause=Cause.ROOM_CLOSED)],
    ids=["removed", "stopped"],
)
async def test_a_worker_that_left_its_room_is_not_given_to_a_job(scene: Scene, word: ToSupervisor) -> None:
    worker = await scene.joined()

    worker.say(word)
    await scene.settle()

    assert scene.rooms.take(SID) is None
    assert (scene.keys.offered, scene.rooms.ids) == ({}, ())
    assert scene.pool.state.held == 1  # until the process is gone
    worker.die()
    assert scene.pool.state.held == 0


async def test_one_that_dies_just_as_its_room_is_offered_leaves_no_key(scene: Scene) -> None:
    filling = asyncio.ensure_future(scene.rooms.fill(order(), announce=scene.announce))
    await scene.settle()
    worker = scene.in_room(SID)
    scene.keys.on_offer = worker.die
    worker.say(Joined())

    reply = await filling
    await scene.settle()

    assert isinstance(reply, CommandFailed)
    assert (scene.keys.offered, scene.pool.state.held) == ({}, 0)


async def test_one_that_cannot_join_says_so_at_once(scene: Scene) -> None:
    filling = asyncio.ensure_future(scene.rooms.fill(order(), announce=scene.announce))
    await scene.settle()
    worker = scene.in_room(SID)
    worker.say(Stopped(cause=Cause.JOIN_FAILED))
    worker.die()

    reply = await filling

    assert isinstance(reply, CommandFailed)
    assert (reply.code, scene.pool.state.held, scene.keys.offered) == ("no_worker", 0, {})


async def test_a_bug_on_the_way_leaves_no_slot_behind(scene: Scene) -> None:
    def bug() -> None:
        raise RuntimeError("bug")

    scene.keys.on_offer = bug
    filling = asyncio.ensure_future(scene.rooms.fill(order(), announce=scene.announce))
    await scene.settle()
    worker = scene.in_room(SID)
    worker.say(Joined())

    with pytest.raises(RuntimeError):
        await filling

    assert End() in worker.told
    worker.die()
    assert scene.pool.state.held == 0


async def test_no_worker_with_the_former_configuration_is_sent_into_a_room(scene: Scene) -> None:
    (former,) = scene.forks.workers
    filling = asyncio.ensure_future(scene.rooms.fill(order(), announce=scene.announce))
    scene.pool.renew()
    await scene.settle()

    worker = scene.in_room(SID)
    worker.say(Joined())

    assert isinstance(await filling, RoomPrejoined)
    assert worker is not former


async def test_the_key_is_renewed_and_an_aged_room_is_withdrawn_before_its_worker_goes(scene: Scene) -> None:
    worker = await scene.joined(max_age_s=2 * PREJOINED_RENEW_S)
    scene.now += PREJOINED_RENEW_S
    await scene.look()
    assert scene.keys.offered == {SID: 2}

    scene.now += PREJOINED_RENEW_S
    await scene.look()

    assert scene.keys.offered == {}
    assert End() in worker.told
    assert scene.pool.state.held == 1  # until the process is gone
    worker.die()
    assert scene.pool.state.held == 0


async def test_an_aged_room_that_somebody_just_took_stays_for_its_job(scene: Scene) -> None:
    worker = await scene.joined(max_age_s=4)
    del scene.keys.offered[SID]
    scene.now += 4

    await scene.look()

    assert End() not in worker.told
    assert scene.rooms.take(SID) is worker


async def test_after_a_sleep_longer_than_the_lease_no_waiting_worker_comes_back_into_its_room(scene: Scene) -> None:
    taken, free = await scene.joined("session_1"), await scene.joined("session_2")
    del scene.keys.offered["session_1"]

    scene.rooms.node_was_away()
    await scene.settle()

    assert taken.killed
    assert free.killed
    assert scene.keys.offered == {}
    assert (scene.pool.state.held, scene.rooms.ids) == (0, ())


async def test_a_call_that_needs_the_slot_gets_it(scene: Scene) -> None:
    first, second = await scene.joined("session_1"), await scene.joined("session_2")
    scene.pool.change_slots(jobs=1)
    scene.rooms.evict()
    scene.pool.change_slots(jobs=1)
    scene.rooms.evict()
    await scene.settle()

    assert End() in first.told
    assert End() in second.told
    assert scene.keys.offered == {}


async def test_a_job_that_came_while_a_room_was_being_joined_gets_its_slot_afterwards() -> None:
    scene = Scene(slots=2)
    await scene.settle()
    try:
        filling = asyncio.ensure_future(scene.rooms.fill(order(), announce=scene.announce))
        await scene.settle()
        for _ in range(2):
            scene.rooms.evict()
            scene.pool.change_slots(jobs=1)
        worker = scene.in_room(SID)
        worker.say(Joined())
        await filling

        await scene.look()

        assert End() in worker.told
        assert scene.keys.offered == {}
    finally:
        scene.close()


async def test_another_room_makes_way_when_the_first_was_taken_just_now() -> None:
    scene = Scene(slots=2)
    await scene.settle()
    try:
        taken, free = await scene.joined("session_1"), await scene.joined("session_2")
        del scene.keys.offered["session_1"]

        scene.rooms.evict()
        scene.pool.change_slots(jobs=1)
        await scene.settle()

        assert (End() in taken.told, End() in free.told) == (False, True)
    finally:
        scene.close()


async def test_a_drain_ends_all_and_a_reload_only_those_that_nobody_has(scene: Scene) -> None:
    taken, free = await scene.joined("session_1"), await scene.joined("session_2")
    del scene.keys.offered["session_1"]

    scene.rooms.retire("stale", claimed_too=False)
    await scene.settle()
    assert (End() in taken.told, End() in free.told) == (False, True)

    scene.rooms.retire("drained", claimed_too=True)
    await scene.settle()
    assert End() in taken.told
