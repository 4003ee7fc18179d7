"""A slot that this version cannot read counts as held, and is freed with an alarm when it is old."""

from contracts.registry import Slot
from scheduler.domain.limits import Limits
from scheduler.ports import HeldSlot
from tests.support.events import requested
from tests.support.scheduler.builders import at_ms
from tests.support.scheduler.world import Leader, World, settle


def world_with_an_unreadable_slot(max_bots: int) -> World:
    world = World(Limits(max_bots=max_bots))
    world.add_node("n1", slots=4)
    world.held_slots[0] = HeldSlot(None, 1, stored_ms=world.now_ms())
    return world


async def test_starts_go_round_it_and_max_bots_counts_it() -> None:
    world = world_with_an_unreadable_slot(max_bots=2)
    for sid in ("session_1", "session_2"):
        world.write(requested(sid))
    leader = await Leader(world).begin()
    await settle()

    readable = {key: held.slot.session_id for key, held in world.held_slots.items() if held.slot is not None}
    assert readable == {1: "session_1"}
    assert len(leader.board.admission) == 1


async def test_it_is_swept_after_a_minute_and_not_before() -> None:
    world = world_with_an_unreadable_slot(max_bots=1)
    leader = await Leader(world).begin()

    world.monotonic_s += 55
    await leader.reconciler.reconcile()
    assert 0 in world.held_slots

    world.monotonic_s += 10
    await leader.reconciler.reconcile()
    assert world.held_slots == {}
    assert len(leader.board.slots) == 0


async def test_one_that_another_version_wrote_again_meanwhile_stays() -> None:
    world = world_with_an_unreadable_slot(max_bots=1)
    read = world.held_slots[0]
    world.held_slots[0] = HeldSlot(Slot(session_id="session_1", taken_at=at_ms(world.now_ms())), 2)
    await world.sweep(0, read)
    assert 0 in world.held_slots
