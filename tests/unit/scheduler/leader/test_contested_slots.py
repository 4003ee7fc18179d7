"""A slot that cannot be read, or that another leader took: starts go on, and no step repeats without a pause."""

from contracts.events import JobAssigned
from contracts.registry import Slot
from scheduler.domain.limits import Limits
from scheduler.ports import Outrun
from tests.support.events import requested
from tests.support.scheduler.world import Leader, World, settle


class Poisoned(World):
    """Slot 0 holds what no reading shows."""

    tries = 0

    async def take(self, key: int, slot: Slot) -> None:
        if key == 0:
            self.tries += 1
            raise Outrun("slot 0 is taken")
        await super().take(key, slot)


async def started(world: World, *names: str) -> Leader:
    world.add_node("n1", slots=8)
    leader = await Leader(world).begin()
    for name in names:
        world.write(requested(name))
    leader.hear(len(names))
    await settle(200)
    return leader


def assigned(world: World) -> set[str]:
    return {event.session_id for event in world.written(JobAssigned)}


async def test_starts_take_the_other_slots() -> None:
    world = Poisoned(Limits(max_bots=3))
    leader = await started(world, "session_1", "session_2")
    assert assigned(world) == {"session_1", "session_2"}
    assert set(world.held_slots) == {1, 2}
    assert world.tries == 1
    await leader.conductor.stop()


async def test_without_another_slot_a_start_waits_and_the_slot_is_tried_when_it_was_read_again() -> None:
    world = Poisoned(Limits(max_bots=1, queue_ms=3_600_000))
    leader = await started(world, "session_1")
    assert assigned(world) == set()
    for _ in range(60):  # 15 s, in the steps of a step that is postponed
        world.monotonic_s += 0.25
        leader.time_passed()
        leader.conductor.wake("session_1")
        await settle(200)
    assert world.tries <= 2
    await leader.conductor.stop()
