"""A log that lost its beginning, by its bound or with its store, says nothing about what is older."""

import asyncio
from datetime import UTC, datetime

import pytest

from contracts.events import EndRequested, JobAssigned, SessionEnded, SessionRequested
from contracts.registry import NodeJob, Slot
from scheduler.domain.limits import Limits
from scheduler.domain.standing import CLOCKS_MS, Standing, standing
from scheduler.leader import figures
from scheduler.ports import HeldSlot
from tests.support.events import SESSION, T0, assigned, ended, requested, started, tick
from tests.support.waiting import until
from tests.unit.scheduler.builders import at_ms, log, node
from tests.unit.scheduler.world import Leader, World, leads, settle

OLD_MS = T0 - 600_000


@pytest.mark.parametrize(
    ("events", "made_ms", "begins_ms", "expected"),
    [
        ((requested(), ended(epoch=0)), T0, 0, Standing.ENDED),
        ((requested(),), T0, T0 + 1, Standing.OPEN),
        ((), T0, T0 - CLOCKS_MS, Standing.ENDED),
        ((), T0, T0 - CLOCKS_MS + 1, Standing.LOST),
        ((assigned(),), T0, T0, Standing.LOST),
        ((), None, 0, Standing.LOST),
    ],
)
def test_never_requested_is_said_only_by_a_log_that_is_old_enough(
    events: tuple[SessionRequested | JobAssigned | SessionEnded, ...],
    made_ms: int | None,
    begins_ms: int,
    expected: Standing,
) -> None:
    assert standing(log(*events), made_ms=made_ms, begins_ms=begins_ms) is expected


async def call(world: World) -> Leader:
    """A call that runs."""
    leader = await leads(world)
    world.write(requested(language="de"))
    leader.hear(1)
    await settle()
    leader.hear(len(world.records))
    await settle()
    world.join("n1", SESSION)
    world.rooms.add(SESSION)
    return leader


async def test_a_new_leader_on_a_lost_log_ends_no_call_and_takes_it_in_again() -> None:
    world = World(Limits(max_bots=2))
    await call(world)
    world.monotonic_s += 300
    world.lose_log()
    world.held_slots.clear()
    named = figures.LOST._value.get()  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    leader = Leader(world)
    await leader.begin()
    for _ in range(2):
        await leader.reconciler.reconcile()
        await settle()

    assert world.jobs["n1"].keys() == {SESSION}
    assert world.rooms == {SESSION}
    assert world.described == [SESSION], "once"
    assert world.jobs["n1"][SESSION].language == "de"
    assert [r.event.language for r in world.records if isinstance(r.event, SessionRequested)] == ["de"]
    assert [r.event.event for r in world.records] == ["agent_ready", "assigned", "requested"]
    assert {entry.session_id for entry in world.held_slots.values()} == {SESSION}
    assert figures.LOST._value.get() == named + 1  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    world.write(EndRequested(session_id=SESSION, time=at_ms(world.now_ms()), by="api", reason="requested"))
    leader.hear(len(world.records))
    await settle()
    assert world.records[-1].event.event == "ended", "it can be ended like any other"
    assert not world.jobs["n1"]


async def test_a_leader_that_keeps_its_term_restores_what_it_knows() -> None:
    world = World(Limits(max_bots=2))
    leader = await call(world)
    leader.hear(len(world.records))
    await settle()
    world.monotonic_s += 300
    world.lose_log()
    world.held_slots.clear()

    for _ in range(2):
        await leader.reconciler.reconcile()
        await settle()

    assert world.described == [SESSION]
    assert [r.event.event for r in world.records] == ["agent_ready", "assigned", "requested"]
    assert {entry.session_id for entry in world.held_slots.values()} == {SESSION}
    session = leader.board.roster.session(SESSION)
    assert session is not None
    assert session.requested_seq == 3, "by the new log"


async def test_a_store_that_comes_back_empty_is_noticed_at_once_and_asked_again_until_it_answers() -> None:
    world = World(Limits(max_bots=2))
    leader = await call(world)
    leader.hear(len(world.records))
    leader.reconciler._every_s = 600
    running = asyncio.create_task(leader.reconciler.run())
    await settle()
    world.monotonic_s += 300
    world.lose_log()
    world.down = True

    leader.reconciler.soon()
    await settle()
    assert world.described == []
    world.down = False

    await until(lambda: world.described, 5)
    running.cancel()


async def test_what_is_written_again_has_the_time_of_the_bus() -> None:
    world = World(Limits(max_bots=2))
    leader = await call(world)
    leader.hear(len(world.records))
    world.set_ms = 3_600_000
    await leader.read_clock()
    world.lose_log()
    world.held_slots.clear()

    for _ in range(2):
        await leader.reconciler.reconcile()
        await settle()

    times = {r.event.time for r in world.records if isinstance(r.event, JobAssigned)}
    assert times == {at_ms(world.now_ms())}
    assert {entry.slot.taken_at for entry in world.held_slots.values() if entry.slot} == {at_ms(world.now_ms())}


@pytest.mark.parametrize("same_leader", [True, False])
async def test_a_call_of_ten_minutes_that_outlived_the_store_ends_with_its_whole_bill(same_leader: bool) -> None:
    world = World(Limits(max_bots=2))
    leader = await call(world)
    leader.hear(len(world.records))
    await settle()
    world.monotonic_s += 610
    world.lose_log()
    world.held_slots.clear()
    for repeated in (started(), tick(600_000)):
        world.write(repeated)
    if not same_leader:
        leader = Leader(world)
        await leader.begin()
    for _ in range(2):
        await leader.reconciler.reconcile()
        await settle()

    world.monotonic_s += 60
    world.write(tick(655_000))
    world.write(EndRequested(session_id=SESSION, time=at_ms(world.now_ms()), by="api", reason="requested"))
    leader.hear(len(world.records))
    await settle()

    (over,) = [r.event for r in world.records if isinstance(r.event, SessionEnded)]
    assert over.billable_ms == 655_000


@pytest.mark.parametrize("told_s", [0, 400_000])
async def test_a_node_is_believed_up_to_what_a_call_can_last_and_the_leaders_own_knowledge_first(told_s: int) -> None:
    world = World(limits := Limits(max_bots=2))
    leader = await call(world)
    leader.hear(len(world.records))
    await settle()
    world.monotonic_s += 300
    world.taken_s[SESSION] = world.monotonic_s - told_s
    ages: list[int] = []
    for leading in (leader, Leader(world)):
        world.lose_log()
        world.held_slots.clear()
        if leading is not leader:
            await leading.begin()
        for _ in range(2):
            await leading.reconciler.reconcile()
            await settle()
        ages += [r.event.age_ms for r in world.records if isinstance(r.event, JobAssigned)]

    longest_ms = limits.startup_ms + limits.session_ms + limits.end_wait_ms
    assert ages == [300_000, min(told_s * 1000, longest_ms)]


async def test_a_start_that_was_lost_before_it_had_a_node_begins_anew() -> None:
    world = World(Limits())
    former = Leader(world)
    await former.begin()
    world.write(requested())
    former.hear(1)
    await settle()
    world.monotonic_s += 20
    world.lose_log()
    world.add_node("n1")

    leader = Leader(world)
    await leader.begin()
    await leader.restorer.restore_all(list(former.board.roster.open_sessions()))
    await settle()

    assert world.jobs["n1"].keys() == {SESSION}
    assert [r.event.event for r in world.records if r.event.event != "queued"] == ["requested", "assigned"]


async def test_a_call_whose_beginning_goes_while_it_runs_ends_with_what_a_bill_needs() -> None:
    world = World(Limits())
    leader = await call(world)
    leader.hear(len(world.records))
    world.records[:] = []

    world.write(EndRequested(session_id=SESSION, time=at_ms(world.now_ms()), by="api", reason="requested"))
    leader.heard = 0
    leader.hear(1)
    await settle()

    assert {"requested", "ended"} <= {r.event.event for r in world.records}


async def test_rooms_and_slots_that_are_older_than_the_log_are_left_alone() -> None:
    world = World(Limits(), whole_since_ms=OLD_MS)
    world.rooms.add(SESSION)
    world.held_slots[0] = HeldSlot(Slot(session_id=SESSION, taken_at=datetime.fromtimestamp(OLD_MS / 1000, UTC)), 1)
    world.rooms_made_ms = OLD_MS
    leader = Leader(world)
    await leader.begin()

    await leader.reconciler.reconcile()
    assert (world.rooms, len(world.held_slots)) == ({SESSION}, 1)

    world.whole_since_ms = 0
    await leader.reconciler.reconcile()
    assert (world.rooms, len(world.held_slots)) == (set(), 0), "the whole log knows better"


@pytest.mark.parametrize(("minutes", "runs", "slots"), [(40, False, 1), (50, True, 1), (50, False, 0)])
async def test_a_slot_that_the_log_lost_is_freed_when_no_session_can_be_that_old(
    minutes: int, runs: bool, slots: int
) -> None:
    world = World(Limits(session_ms=30 * 60_000))
    taken_ms = world.now_ms() - minutes * 60_000
    world.whole_since_ms = world.now_ms() - 60_000
    world.held_slots[0] = HeldSlot(Slot(session_id=SESSION, taken_at=at_ms(taken_ms)), 1)
    leader = Leader(world)
    await leader.begin()
    if runs:
        leader.board.fleet.report(node("n1", jobs=(NodeJob(session_id=SESSION, epoch=1, pid=1),)))

    await leader.reconciler.reconcile()

    assert len(world.held_slots) == slots
