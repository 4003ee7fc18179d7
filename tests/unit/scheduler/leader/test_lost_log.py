"""A log that lost its beginning, by its bound or with its store, says nothing about what is older."""

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.metrics import REGISTRY
from contracts.events import (
    AgentStopped,
    Event,
    JobAssigned,
    ServedTick,
    SessionEnded,
    SessionRequested,
    SessionStarted,
    TimeLost,
)
from contracts.metering import LogRecord, meter
from contracts.registry import NodeJob, NodeState, Slot
from scheduler.domain.facts import CallerLeft
from scheduler.domain.limits import Limits
from scheduler.domain.lost_records import lost_records
from scheduler.domain.session import BEHIND_ALL, Attempt, Recorded, Session, before_a_new_log, fold
from scheduler.domain.standing import CLOCKS_MS, Standing, standing
from scheduler.leader import figures
from scheduler.leader.reconciler import _REPAIRS
from scheduler.ports import HeldSlot, NodeSilent, Room, Unavailable, WriteRefused
from tests.support.events import SESSION, T0, assigned, ended, ready, requested, started, stopped, tick
from tests.support.scheduler.builders import at_ms, log, node
from tests.support.scheduler.world import Leader, World, asked, in_call, settle
from tests.support.waiting import until

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


async def away(_: object = None) -> list[Room]:
    raise Unavailable("LiveKit is away")


CALL = requested(language="de", interruptible=False)


async def test_a_new_leader_on_a_lost_log_ends_no_call_and_takes_it_in_again() -> None:
    world = World(Limits(max_bots=2))
    await in_call(world, CALL, is_heard=False)
    world.monotonic_s += 300
    world.lose_store()
    named = figures.LOST._value.get()  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    leader = await Leader(world).begin()
    await leader.repair(rounds=2)

    assert world.jobs["n1"].keys() == {SESSION}
    assert world.rooms == {SESSION}
    assert world.described == [SESSION], "once"
    job = world.jobs["n1"][SESSION]
    assert (job.language, job.interruptible) == ("de", False)
    told = world.written(SessionRequested)
    assert [(event.language, event.interruptible) for event in told] == [("de", False)]
    assert world.kinds() == ["agent_ready", "assigned", "requested"]
    assert {entry.session_id for entry in world.held_slots.values()} == {SESSION}
    assert figures.LOST._value.get() == named + 1  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]

    world.request_end()
    await leader.catch_up()
    assert world.records[-1].event.event == "ended", "it can be ended like any other"
    assert not world.jobs["n1"]


async def test_a_leader_that_keeps_its_term_restores_what_it_knows() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 300
    world.lose_store()

    await leader.repair(rounds=2)

    assert world.described == [SESSION]
    assert world.kinds() == ["agent_ready", "assigned", "started", "requested"]
    assert {entry.session_id for entry in world.held_slots.values()} == {SESSION}
    session = leader.board.roster.session(SESSION)
    assert session is not None
    assert session.requested_seq == 4, "by the new log"


async def test_a_store_that_comes_back_empty_is_noticed_at_once_and_asked_again_until_it_answers() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
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


async def test_a_silent_node_delays_a_round_once_for_all_its_calls() -> None:
    world = World(Limits(max_bots=60))
    world.add_node("n1", slots=60)
    leader = await Leader(world).begin()
    calls = [f"session_{number:013d}_{number:012x}" for number in range(1, 51)]
    for session_id in calls:
        world.write(requested(session_id))
    leader.hear()
    for _ in range(20):
        await settle()
    assert len(world.jobs["n1"]) == 50
    leader.hear()
    world.monotonic_s += 60
    world.lose_log()
    world.silent.add("n1")

    await leader.reconciler._check_log()
    assert len(world.unanswered) <= 8
    assert {event.session_id for event in world.written(SessionRequested)} == set(calls)


@pytest.mark.parametrize("keeps_its_term", [True, False])
async def test_all_silent_nodes_take_a_round_one_deadline(
    keeps_its_term: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = 32
    world = World(Limits(max_bots=2 * nodes))
    for number in range(nodes):
        world.add_node(f"n{number}")
    leader = await Leader(world).begin()
    for number in range(2 * nodes):
        world.write(requested(f"session_{number:013d}_{number:012x}"))
    leader.hear()
    await until(lambda: sum(map(len, world.jobs.values())) == 2 * nodes)
    await leader.catch_up()
    world.monotonic_s += 60
    world.lose_log()
    if not keeps_its_term:
        leader = await Leader(world).begin()
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def silent(node_id: str, session_id: str, epoch: int) -> None:
        asked.append(node_id)
        if len(asked) == nodes:
            all_asked.set()
        await all_asked.wait()
        raise NodeSilent(node_id)

    monkeypatch.setattr(world, "describe", silent)
    async with asyncio.timeout(5):
        await leader.reconciler.reconcile()

    assert sorted(asked) == sorted(world.states), "each once"
    restored = {event.session_id for event in world.written(SessionRequested)}
    assert len(restored) == (2 * nodes if keeps_its_term else 0), "by the leader's own knowledge"


async def test_a_log_counts_as_restored_after_a_whole_round_in_which_each_node_had_time_to_register() -> None:
    world = World(limits := Limits(max_bots=2))
    leader = await in_call(world, CALL)
    await leader.reconciler.reconcile()
    assert leader.reconciler.restored_ms == 0, "this leader has just begun"
    assert leader.reconciler._pause_s() == limits.node_lease_ms / 1000
    world.monotonic_s += limits.node_lease_ms / 1000
    await leader.reconciler.reconcile()
    assert (leader.reconciler.restored_ms, leader.reconciler._pause_s()) == (1, 15)

    world.monotonic_s += 60
    world.lose_log()
    leader.board.nodes.outage_ended(world.now_ms() + 8_000)
    await leader.reconciler.reconcile()
    assert leader.reconciler.restored_ms == 1, (
        "a node that comes back later may have a call that this leader does not know"
    )
    assert leader.reconciler._pause_s() == 8
    world.monotonic_s += 8
    world.down = True
    await leader.reconciler.reconcile()
    assert (leader.reconciler.restored_ms, leader.reconciler._pause_s()) == (1, 1), "NATS did not answer"
    world.down = False
    await leader.reconciler.reconcile()
    assert leader.reconciler.restored_ms == world.log_made_ms


async def test_a_session_is_older_than_a_lost_log_also_by_a_clock_that_was_set_back() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 30
    world.set_ms = -3_600_000
    await leader.read_clock()
    world.lose_log()

    await leader.repair()

    assert world.described == [SESSION]
    assert "requested" in world.kinds()


async def test_what_is_written_again_has_the_time_of_the_bus() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 1
    world.set_ms = 3_600_000
    await leader.read_clock()
    world.lose_store()

    await leader.repair(rounds=2)

    times = {event.time for event in world.written(JobAssigned)}
    assert times == {at_ms(world.now_ms())}
    assert {entry.slot.taken_at for entry in world.held_slots.values() if entry.slot} == {at_ms(world.now_ms())}


@pytest.mark.parametrize("same_leader", [True, False])
async def test_a_call_of_ten_minutes_that_outlived_the_store_ends_with_its_whole_bill(same_leader: bool) -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 610
    world.lose_store()
    for repeated in (started(), tick(600_000)):
        world.write(repeated)
    if not same_leader:
        leader = await Leader(world).begin()
    await leader.repair(rounds=2)

    world.monotonic_s += 60
    world.write(tick(655_000))
    world.request_end()
    await leader.catch_up()

    (over,) = world.written(SessionEnded)
    assert over.billable_ms == 655_000


@pytest.mark.parametrize("told_s", [0, 400_000])
async def test_a_node_is_believed_up_to_what_a_call_can_last_and_the_leaders_own_knowledge_first(told_s: int) -> None:
    world = World(limits := Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 300
    world.taken_s[SESSION] = world.monotonic_s - told_s
    ages: list[int] = []
    for leading in (leader, Leader(world)):
        world.lose_store()
        if leading is not leader:
            await leading.begin()
        await leading.repair(rounds=2)
        ages += [event.age_ms for event in world.written(JobAssigned)]

    longest_ms = limits.startup_ms + limits.session_ms + limits.end_wait_ms
    assert ages == [300_000, min(told_s * 1000, longest_ms)]


async def test_a_start_that_was_lost_before_it_had_a_node_begins_anew() -> None:
    world = World(Limits())
    former = await asked(world)
    world.monotonic_s += 20
    world.lose_log()
    world.add_node("n1")

    world.rooms.add(SESSION)
    leader = await Leader(world, former=former).begin()
    await leader.repair()

    assert world.jobs["n1"].keys() == {SESSION}
    assert [r.event.event for r in world.records if r.event.event != "queued"] == ["requested", "assigned"]


async def test_a_call_that_runs_when_its_leader_leads_again_on_a_lost_log_is_restored_as_the_leader_knew_it() -> None:
    world = World(Limits(max_bots=2))
    former = await in_call(world, CALL)
    world.monotonic_s += 300
    world.lose_store()

    leader = await Leader(world, former=former).begin()
    await leader.reconciler.reconcile()

    assert world.kinds() == ["agent_ready", "assigned", "started", "requested"]
    assert leader.reconciler.former == ()


@pytest.mark.parametrize("was_placed", [True, False])
async def test_a_session_that_another_leader_ended_before_the_log_was_lost_does_not_rise_again(
    was_placed: bool,
) -> None:
    world = World(Limits(max_bots=2))
    if was_placed:
        former = await in_call(world, CALL)
    else:
        former = await Leader(world).begin()
        world.write(requested())
        world.rooms.add(SESSION)
    await former.catch_up()
    former.holds = False
    await former.conductor.stop()
    between = await Leader(world).begin()
    world.request_end()
    await between.catch_up()
    assert any(isinstance(r.event, SessionEnded) for r in world.records)
    between.holds = False
    await between.conductor.stop()
    world.monotonic_s += 5
    world.lose_store()

    leader = await Leader(world, former=former).begin()
    await leader.repair(rounds=2)

    assert world.kinds() == []
    assert (world.rooms, world.held_slots) == (set(), {})
    assert SESSION not in leader.board.roster


async def test_what_the_leader_knew_before_waits_for_livekit_and_is_kept_for_the_next_term(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Limits(max_bots=2))
    former = await in_call(world, CALL)
    world.lose_log()
    leader = await Leader(world, former=former).begin()

    with monkeypatch.context() as patched:
        patched.setattr(world, "list", away)
        await leader.reconciler.reconcile()
    assert [s.session_id for s in leader.reconciler.former] == [SESSION]
    await leader.reconciler.reconcile()

    assert "requested" in world.kinds()


async def test_a_call_that_ends_before_the_leader_looked_at_the_lost_log_is_billed_by_what_the_leader_knows() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    world.monotonic_s += 60
    world.lose_log()
    leader.heard = 0

    world.request_end()
    leader.hear(1)
    await settle()

    events = {r.event.event: r.event for r in world.records}
    assert events.keys() == {"end_requested", "assigned", "started", "agent_stopped", "requested", "ended"}
    over, again = events["ended"], events["assigned"]
    assert isinstance(over, SessionEnded)
    assert isinstance(again, JobAssigned)
    assert (over.billable_ms, again.age_ms) == (100, 60_000)
    assert list(events)[-1] == "ended"


async def taken_over(world: World) -> tuple[Leader, int]:
    """A call in its second epoch, and what its first one served by the log."""
    world.add_node("n2")
    leader = await in_call(world, CALL, is_heard=False)
    first = next(name for name, jobs in world.jobs.items() if SESSION in jobs)
    world.monotonic_s += 50
    world.write(tick(45_000, fault_ms=3_000))
    del world.jobs[first][SESSION]
    world.write(stopped(48_000, fault_ms=3_000))
    await leader.catch_up()
    second = next(name for name, jobs in world.jobs.items() if SESSION in jobs)
    world.join(second, SESSION)
    await leader.catch_up()
    world.monotonic_s += 40
    return leader, 45_000


def lost_seconds() -> float:
    seconds = REGISTRY.get_sample_value("scheduler_lost_seconds_total")
    assert seconds is not None
    return seconds


@pytest.mark.parametrize("leads", ["on", "again, and LiveKit is away", "another"])
async def test_what_agents_before_a_takeover_served_is_billed_after_the_store_was_lost_or_lost_by_name(
    leads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(Limits(max_bots=2))
    leader, before_ms = await taken_over(world)
    named_s = lost_seconds()
    world.lose_store()
    leader.heard = 0

    if leads != "on":
        monkeypatch.setattr(world, "list", away)
        leader = await Leader(world, former=leader if leads != "another" else None).begin()
    await leader.repair(rounds=2)
    knew = leads != "another"
    if not knew:
        world.write(started(2))  # the node repeats it; the leader that knew the call writes it itself
    world.monotonic_s += 10
    world.write(tick(38_000, 2))
    world.request_end()
    await leader.catch_up()

    assigned_epochs = [event.epoch for event in world.written(JobAssigned)]
    lost = [(event.epoch, event.billable_ms) for event in world.written(TimeLost)]
    (over,) = world.written(SessionEnded)
    measured = meter(LogRecord(r.event, r.stored_ms) for r in world.records)
    assert over.billable_ms == measured.billable_ms == 38_000 + (before_ms if knew else 0)
    assert lost == ([] if knew else [(2, before_ms)])
    assert lost_seconds() == pytest.approx(named_s + sum(ms for _, ms in lost) / 1000)
    assert assigned_epochs == ([1, 2] if knew else [2]), "the last one stays the last"


async def test_a_restoration_that_was_interrupted_repeats_nothing_that_it_wrote(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Limits(max_bots=2))
    leader, _ = await taken_over(world)
    world.lose_log()
    appended: list[Event] = []
    append = world.append

    async def append_or_fail(event: Event, *, expect_last: int | None = None) -> Recorded:
        appended.append(event)
        if [type(e) for e in appended].count(SessionStarted) == 1 and isinstance(event, SessionStarted):
            raise Unavailable("NATS is away for a moment")
        return await append(event, expect_last=expect_last)

    monkeypatch.setattr(world, "append", append_or_fail)
    await leader.reconciler.reconcile()
    assert "requested" not in world.kinds()
    world.write(tick(40_000, 2))  # the living agent's
    await leader.reconciler.reconcile()

    assert "requested" in world.kinds()
    assert [e.event for e in appended].count("tick") == 1
    assert [event.epoch for event in world.written(JobAssigned)] == [1, 2]


@pytest.mark.parametrize("there", [(1,), (3,), (1, 3)])
def test_the_last_assigned_of_a_log_stays_the_last(there: tuple[int, ...]) -> None:
    attempt = Attempt(2, "n2", BEHIND_ALL, T0, 0, 0)
    session = Session(SESSION, requested(), requested_ms=T0, attempts={2: attempt})

    lost = lost_records(session, log(*(assigned(epoch) for epoch in there)), T0 + 300_000, at_ms)

    assert [e.epoch for e in lost if isinstance(e, JobAssigned)] == ([2] if max(there) < 2 else [])
    assert isinstance(lost[-1], SessionRequested)


def refuse(world: World, monkeypatch: pytest.MonkeyPatch, *kinds: type[Event]) -> None:
    """Give the scheduler a user of NATS that may not publish these."""
    append = world.append

    async def append_permitted(event: Event, *, expect_last: int | None = None) -> Recorded:
        if isinstance(event, kinds):
            raise WriteRefused("permissions violation")
        return await append(event, expect_last=expect_last)

    monkeypatch.setattr(world, "append", append_permitted)


async def test_users_of_nats_that_may_not_write_lost_time_do_not_prevent_a_restoration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Limits(max_bots=2))
    await taken_over(world)
    world.lose_log()
    refuse(world, monkeypatch, TimeLost)
    leader = await Leader(world).begin()
    await leader.reconciler.reconcile()

    assert world.kinds()[-2:] == ["assigned", "requested"]


FORMERLY_REFUSED = (SessionStarted, ServedTick, AgentStopped, TimeLost)


@pytest.mark.parametrize("node_lives", [True, False])
async def test_a_call_that_the_leader_knew_is_restored_and_ends_with_users_that_may_write_only_its_request_again(
    node_lives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(Limits(max_bots=2))
    leader, before_ms = await taken_over(world)
    named_s = lost_seconds()
    world.lose_store()
    leader.heard = 0
    if node_lives:  # it repeats its reports
        world.write(started(2))
        world.write(tick(38_000, 2))
    else:
        for jobs in world.jobs.values():
            jobs.clear()
    refuse(world, monkeypatch, *FORMERLY_REFUSED)
    await leader.repair()

    assert [r.event.event for r in world.records if isinstance(r.event, (JobAssigned, SessionRequested))] == [
        "assigned",
        "assigned",
        "requested",
    ]
    assert leader.board.roster.session(SESSION) is not None
    assert not leader.conductor.beginnings.in_doubt
    assert len(world.held_slots) == 1
    assert lost_seconds() - named_s == pytest.approx(before_ms / 1000)

    world.request_end()
    await leader.catch_up()
    (over,) = world.written(SessionEnded)
    assert over.billable_ms == (38_000 if node_lives else 0)


async def test_a_call_that_ends_before_its_restoration_ends_with_users_that_may_write_only_its_request_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Limits(max_bots=2))
    leader, _ = await taken_over(world)
    world.lose_log()
    leader.heard = 0
    refuse(world, monkeypatch, *FORMERLY_REFUSED)

    world.request_end()
    leader.hear(1)
    await settle()

    written = [r.event.event for r in world.records if not isinstance(r.event, AgentStopped)]  # its node's
    assert written == ["end_requested", "assigned", "assigned", "requested", "ended"]


async def test_of_two_nodes_with_a_lost_call_the_one_with_the_newest_epoch_has_it() -> None:
    world = World(Limits(max_bots=2))
    await taken_over(world)
    second = next(name for name, jobs in world.jobs.items() if SESSION in jobs)
    first = {"n1": "n2", "n2": "n1"}[second]  # it was cut off from NATS, and knows of no successor
    world.jobs[first][SESSION] = world.jobs[second][SESSION].model_copy(update={"epoch": 1})
    world.lose_log()
    leader = await Leader(world).begin()
    for _ in range(2):
        await leader.reconciler.reconcile()
        await settle()
        leader.see_nodes()

    assert [event.epoch for event in world.written(JobAssigned)] == [2]
    assert (world.jobs[second].keys(), world.jobs[first].keys()) == ({SESSION}, set())


async def test_jobs_that_no_node_describes_do_not_keep_another_one_from_being_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(Limits(max_bots=2))
    await in_call(world, CALL, is_heard=False)
    lost = [NodeJob(session_id=f"session_{n}_nobody", epoch=1, pid=1) for n in range(_REPAIRS)]
    reports = world.reports

    def reported() -> dict[str, NodeState]:
        return {k: state.model_copy(update={"jobs": (*lost, *state.jobs)}) for k, state in reports().items()}

    monkeypatch.setattr(world, "reports", reported)
    world.lose_log()
    leader = await Leader(world).begin()

    await leader.reconciler._check_jobs()
    assert world.described == []
    await leader.reconciler._check_jobs()
    assert world.described == [SESSION]


async def test_what_the_node_said_last_only_to_the_lost_log_is_billed() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL, is_heard=False)
    for event in (tick(40_000), stopped(44_000, cause="ended", fault_ms=4_000)):
        world.write(event)
    del world.jobs["n1"][SESSION]
    world.monotonic_s += 60
    records = list(world.records)
    world.lose_log()

    for record in records[leader.heard :]:  # the leader hears it, and cannot write before the store is lost
        leader.board.record(record)
    leader.conductor.wake(SESSION)
    await settle()

    (over,) = world.written(SessionEnded)
    assert over.billable_ms == 40_000
    assert meter(LogRecord(r.event, r.stored_ms) for r in world.records).billable_ms == 40_000


async def test_a_start_that_ends_in_the_queue_before_the_leader_looked_at_the_lost_log_was_requested() -> None:
    world = World(Limits())
    leader = await asked(world)
    world.monotonic_s += 5
    world.lose_log()
    leader.conductor.beginnings.outages += 1
    leader.heard = 0

    world.request_end()
    leader.hear(1)
    await settle()

    assert world.kinds() == ["end_requested", "requested", "ended"]


async def test_a_start_that_was_placed_after_the_loss_gets_its_beginning_back_and_one_agent() -> None:
    world = World(Limits())
    leader = await asked(world)
    world.monotonic_s += 5
    world.lose_log()
    world.add_node("n1")
    leader.see_nodes()
    await settle()
    assert world.kinds() == ["assigned"]

    await leader.repair()

    assert world.kinds() == ["assigned", "agent_ready", "requested"]
    assert world.jobs["n1"][SESSION].epoch == 1


async def test_what_the_leader_knew_beside_the_log_outlives_it() -> None:
    world = World(Limits(max_bots=2))
    leader = await in_call(world, CALL)
    leader.conductor.learn(SESSION, CallerLeft("PA_1", leader.timekeeper.now_ms()))
    before = leader.board.roster.session(SESSION)
    world.monotonic_s += 1
    world.lose_log()
    held = dict(world.held_slots)
    world.held_slots.clear()

    await leader.repair()

    session, facts = leader.board.roster.session(SESSION), leader.board.roster.facts(SESSION)
    assert before is not None
    assert session is not None
    assert facts is not None
    assert (session.first_ready_ms, session.started_ms) == (before.first_ready_ms, before.started_ms)
    assert facts.caller_left_ms is not None
    assert world.held_slots.keys() == held.keys() == {facts.slot}


EVENTS = (requested(), assigned(), ready(), started(), tick(5_000), stopped(9_000, cause="ended", fault_ms=500))


@given(heard=st.sets(st.sampled_from(range(len(EVENTS)))), kept=st.sets(st.sampled_from(range(len(EVENTS)))))
def test_a_log_that_got_back_what_it_lost_gives_the_same_bill_and_gets_nothing_twice(
    heard: set[int], kept: set[int]
) -> None:
    records = log(*((10_000 * n, event) for n, event in enumerate(EVENTS)))
    session = Session(SESSION)
    for n in sorted(heard | {0}):
        session = fold(session, records[n])
    remains = [records[n] for n in sorted(kept - {0})]
    now_ms = records[-1].stored_ms + 60_000

    lost = lost_records(session, remains, now_ms, at_ms)
    again = [*remains, *(Recorded(event, now_ms, 100 + n) for n, event in enumerate(lost))]

    assert lost[-1] == EVENTS[0]
    assert lost_records(session, again, now_ms + 1, at_ms) == ()
    assert len({r.event.id for r in again}) == len(again)
    if session.attempts and session.started_ms is not None and session.stops:
        whole = meter(LogRecord(r.event, r.stored_ms) for r in records)
        assert meter(LogRecord(r.event, r.stored_ms) for r in again).billable_ms == whole.billable_ms
    renewed = before_a_new_log(session)
    for record in again:
        renewed = fold(renewed, record)
    assert all(attempt.seq < BEHIND_ALL for attempt in renewed.attempts.values())
    assert renewed.requested_seq < BEHIND_ALL


async def test_a_call_whose_beginning_goes_while_it_runs_ends_with_what_a_bill_needs() -> None:
    world = World(Limits())
    leader = await in_call(world, CALL)
    world.records[:] = []

    world.request_end()
    leader.heard = 0
    leader.hear(1)
    await settle()

    assert {"requested", "ended"} <= set(world.kinds())


async def test_rooms_and_slots_that_are_older_than_the_log_are_left_alone() -> None:
    world = World(Limits(), whole_since_ms=OLD_MS)
    world.rooms.add(SESSION)
    world.held_slots[0] = HeldSlot(Slot(session_id=SESSION, taken_at=datetime.fromtimestamp(OLD_MS / 1000, UTC)), 1)
    world.rooms_made_ms = OLD_MS
    leader = await Leader(world).begin()

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
    leader = await Leader(world).begin()
    if runs:
        leader.board.fleet.report(node("n1", jobs=(NodeJob(session_id=SESSION, epoch=1, pid=1),)))

    await leader.reconciler.reconcile()

    assert len(world.held_slots) == slots
