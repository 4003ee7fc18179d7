"""The leader's guard of a session's limit: it looks into the log, since billable time follows no clock."""

import asyncio
from dataclasses import replace

import pytest

from contracts.events import Event, JobAssigned, Outcome, SessionEnded
from scheduler.domain.decision import Decision, End, Measure, Place, StopAgent, decide
from scheduler.domain.facts import Facts, Measured, Verdict
from scheduler.domain.limits import Limits
from tests.support.events import SESSION, T0, assigned, ready, requested, started, stopped, tick
from tests.support.scheduler.builders import session
from tests.support.scheduler.world import World, in_call

LIMITS = Limits()
FACTS = Facts(since_ms=T0 - 60_000, slot=0)
SPENT = Verdict(Outcome.COMPLETED, "credit_spent")
Entry = tuple[int, Event]

RUNNING: tuple[Entry, ...] = (
    (0, requested(credit_limit_minutes=1)),
    (10, assigned(granted_minutes=1)),
    (500, ready()),
    (1_000, started()),
)


def decided(*events: Entry, after: int, facts: Facts = FACTS) -> Decision:
    return decide(session(*events), facts, T0 + after, LIMITS)


def test_the_log_is_read_when_the_grant_may_be_used_up_and_not_before() -> None:
    assert decided(*RUNNING, after=2_000) == Decision((), T0 + 60_500)
    assert decided(*RUNNING, after=60_499).actions == ()
    assert decided(*RUNNING, after=60_500).actions == (Measure(),)


def test_without_a_limit_the_log_is_never_read() -> None:
    endless = ((0, requested()), (10, assigned()), (500, ready()), (1_000, started()))

    assert decided(*endless, after=1_799_000).actions == ()


def test_time_that_is_not_billable_puts_the_next_look_off() -> None:
    measured = replace(FACTS, measured=Measured(30_000, T0 + 60_500))

    assert decided(*RUNNING, after=60_500, facts=measured) == Decision((), T0 + 90_000)
    assert decided(*RUNNING, after=90_000, facts=measured).actions == (Measure(),)


def test_the_last_seconds_are_looked_at_every_two_seconds() -> None:
    measured = replace(FACTS, measured=Measured(59_400, T0 + 60_500))

    assert decided(*RUNNING, after=60_500, facts=measured) == Decision((), T0 + 62_500)


def test_a_grant_that_is_used_up_ends_the_session() -> None:
    measured = replace(FACTS, measured=Measured(59_500, T0 + 60_500))

    assert decided(*RUNNING, after=60_500, facts=measured).actions == (StopAgent(1, "n1", SPENT),)


def test_the_nodes_word_that_the_credit_is_spent_ends_the_session() -> None:
    assert decided(*RUNNING, (40_000, stopped(cause="credit_spent")), after=40_001).actions == (End(SPENT),)


def test_an_agent_that_dies_is_replaced_within_the_grant() -> None:
    assert decided(*RUNNING, (40_000, stopped()), after=40_001).actions == (Place(),)


@pytest.mark.parametrize(("granted", "of"), [((1, None), 1), ((None, None), 1), ((2, 1), 2)])
def test_the_greatest_grant_counts_and_before_any_the_request(granted: tuple[int | None, ...], of: int) -> None:
    assignments = [(10 * n, assigned(n, granted_minutes=minutes)) for n, minutes in enumerate(granted, start=1)]

    assert session((0, requested(credit_limit_minutes=1)), *assignments).granted_minutes == of


def ends(world: World) -> list[tuple[str, int]]:
    return [(event.reason, event.billable_ms) for event in world.written(SessionEnded)]


async def test_a_node_that_never_ends_the_call_is_told_to_and_nothing_is_billed_beyond_the_limit() -> None:
    world = World(LIMITS)
    leader = await in_call(world, requested(credit_limit_minutes=1))

    world.monotonic_s += 59
    world.write(tick(59_000))
    leader.see_nodes()
    await leader.go_on()
    assert ends(world) == []

    world.monotonic_s += 5
    world.write(tick(64_000))
    leader.see_nodes()
    await leader.go_on()
    leader.see_nodes()
    await leader.go_on()

    assert ends(world) == [("credit_spent", 60_000)]
    assert world.jobs["n1"] == {}
    await leader.conductor.stop()


async def test_a_call_that_a_provider_made_mute_for_a_minute_goes_on_after_it() -> None:
    world = World(LIMITS)
    leader = await in_call(world, requested(credit_limit_minutes=1))

    world.monotonic_s += 100
    world.write(tick(100_000, fault_ms=60_000))
    leader.see_nodes()
    await leader.go_on()

    assert ends(world) == []
    assert world.jobs["n1"]
    await leader.conductor.stop()


@pytest.mark.parametrize(
    ("served_ms", "fault_ms", "before_ms"), [(40_000, 0, 40_000), (70_000, 45_000, 25_000), (59_400, 0, 59_400)]
)
async def test_a_successor_gets_what_is_left_of_the_billable_time(
    served_ms: int, fault_ms: int, before_ms: int
) -> None:
    world = World(LIMITS)
    leader = await in_call(world, requested(credit_limit_minutes=1))

    world.monotonic_s += served_ms / 1000
    world.write(tick(served_ms, fault_ms=fault_ms))
    world.stop("n1", SESSION, "crashed")
    leader.see_nodes()
    await leader.go_on()

    (second,) = (r.event for r in world.records if isinstance(r.event, JobAssigned) and r.event.epoch == 2)
    assert (second.served_ms_before, second.billable_ms_before) == (served_ms, before_ms)
    assert second.granted_minutes == 1
    job = world.jobs["n1"][SESSION]
    assert (job.epoch, job.granted_minutes, job.billable_ms_before) == (2, 1, before_ms)
    await leader.conductor.stop()


async def test_a_call_whose_agent_dies_in_its_last_half_second_is_over() -> None:
    world = World(LIMITS)
    leader = await in_call(world, requested(credit_limit_minutes=1))

    world.monotonic_s += 59.7
    world.write(tick(59_700))
    world.stop("n1", SESSION, "crashed")
    leader.see_nodes()
    await leader.go_on()
    await asyncio.sleep(0)

    assert ends(world) == [("credit_spent", 59_700)]
    assert not any(isinstance(r.event, JobAssigned) and r.event.epoch == 2 for r in world.records)
    await leader.conductor.stop()
