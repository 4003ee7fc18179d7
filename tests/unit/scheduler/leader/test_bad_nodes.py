"""A node that freezes, lies or kills workers delays one start, not each; a start that kills workers stops doing it."""

import pytest

from contracts.events import JobAssigned, Outcome, SessionEnded
from scheduler.domain.decision import CountFailure, Place, StopSuperseded, decide
from scheduler.domain.facts import Facts
from scheduler.domain.limits import Limits
from tests.support.events import T0, assigned, ready, requested, started, stopped
from tests.support.scheduler.builders import session
from tests.support.scheduler.world import Leader, World, settle
from tests.support.waiting import until

LIMITS = Limits()


def attempts(*nodes: str, spacing_ms: int = 1_000, cause: str = "crashed"):  # type: ignore[no-untyped-def]
    """A start that failed at once on each of these nodes."""
    events = [(0, requested())]
    for n, name in enumerate(nodes, 1):
        at_ms = n * spacing_ms
        events += [(at_ms, assigned(n, name)), (at_ms + 10, stopped(epoch=n, cause=cause))]  # type: ignore[list-item]
    return session(*events)


def facts(blamed: int = 0) -> Facts:
    return Facts(since_ms=T0 - 60_000, slot=0, asked_epoch=9, counted_epoch=blamed)


@pytest.mark.parametrize(("failed", "pause_ms"), [(1, 0), (2, 500), (3, 1_000), (4, 2_000), (5, 4_000)])
def test_the_pause_before_the_next_attempt_grows(failed: int, pause_ms: int) -> None:
    state = attempts(*(f"n{n}" for n in range(failed)), spacing_ms=4_100)
    due = T0 + failed * 4_100 + pause_ms
    if pause_ms:
        early = decide(state, facts(failed), due - 1, LIMITS)
        assert (early.actions, early.wake_at_ms) == ((), due)
    assert Place() in decide(state, facts(failed), max(due, T0 + failed * 4_100 + 10), LIMITS).actions


def test_a_start_that_failed_on_six_nodes_has_failed() -> None:
    [action] = decide(attempts(*"abcdef"), facts(6), T0 + 6_010, LIMITS).actions
    assert action.verdict.outcome is Outcome.FAILED  # type: ignore[union-attr]
    assert action.verdict.reason == "attempts_failed"  # type: ignore[union-attr]


def test_the_attempts_of_a_take_over_are_counted_from_the_last_agent_that_was_there() -> None:
    events = [(0, requested()), (10, assigned(1, "a")), (20, ready(1)), (30, started(1)), (40, stopped(epoch=1))]
    for epoch in range(2, 8):
        events += [(epoch * 1_000, assigned(epoch, "b")), (epoch * 1_000 + 10, stopped(epoch=epoch))]  # type: ignore[list-item]
    five = decide(session(*events[:-2]), facts(6), T0 + 20_000, LIMITS)
    assert five.actions == (Place(),)
    [action] = decide(session(*events), facts(7), T0 + 7_010, LIMITS).actions
    assert action.verdict.reason == "agent_failed"  # type: ignore[union-attr]


@pytest.mark.parametrize("cause", ["crashed", "join_failed", "failed"])
def test_a_failed_start_is_held_against_its_node_once(cause: str) -> None:
    state = attempts("a", cause=cause)
    assert decide(state, facts(), T0 + 1_010, LIMITS).actions == (CountFailure(1, "a", cause), Place())
    assert decide(state, facts(1), T0 + 1_010, LIMITS).actions == (Place(),)


@pytest.mark.parametrize("cause", ["drained", "room_closed", "provider_failed:tts", "superseded", "ended"])
def test_what_is_no_fault_of_the_node_is_not(cause: str) -> None:
    decided = decide(attempts("a", cause=cause), facts(), T0 + 1_010, LIMITS)
    assert not [action for action in decided.actions if isinstance(action, CountFailure)]


def test_a_session_that_fails_everywhere_is_held_against_two_nodes_only() -> None:
    assert isinstance(decide(attempts("a", "b"), facts(1), T0 + 9_000, LIMITS).actions[0], CountFailure)
    assert decide(attempts("a", "b", "c"), facts(2), T0 + 9_000, LIMITS).actions == (Place(),)


def test_a_node_that_is_silent_beyond_its_time_is_blamed_and_told_to_let_go() -> None:
    state = session((0, requested()), (10, assigned(1, "a")))
    assert decide(state, facts(), T0 + 5_010, LIMITS).actions == (
        CountFailure(1, "a", "not_ready"),
        StopSuperseded(1, "a"),
        Place(),
    )


class Fleet:
    """A leader over a world with some nodes; time passes in small steps and agents join at once where they can."""

    def __init__(self, *nodes: str, slots: int = 50) -> None:
        self.world = World(Limits(max_bots=200))
        for name in nodes:
            self.world.add_node(name, slots=slots)
        self.lying: set[str] = set()
        self.deadly: set[str] = set()
        self.leader: Leader | None = None
        self.started = 0

    async def start(self) -> str:
        if self.leader is None:
            self.leader = await Leader(self.world).begin()
            # The term is old enough to judge nodes, and everything else is as at its beginning.
            self.leader.board.nodes.judge_from_ms = self.world.now_ms()
        self.started += 1
        name = f"session_{self.started}"
        self.world.rooms.add(name)
        self.world.write(requested(name, f"user_{self.started}"))
        await self._turn()
        return name

    async def pass_s(self, seconds: float, step_s: float = 0.25) -> None:
        for _ in range(round(seconds / step_s)):
            self.world.monotonic_s += step_s
            await self._turn()

    async def _turn(self) -> None:
        assert self.leader is not None
        for _ in range(3):
            self.leader.hear(1_000)
            self.leader.see_nodes()
            self.leader.time_passed()
            await settle(60)
            for name in self.world.states:
                for held in list(self.world.jobs.get(name, {})):
                    if held in self.deadly:
                        self.world.stop(name, held, "failed")
                    elif name not in self.lying and name not in self.world.silent:
                        self.world.join(name, held)

    def nodes_of(self, name: str) -> list[str]:
        events = [r.event for r in self.world.records if r.event.session_id == name]
        return [e.node_id for e in events if isinstance(e, JobAssigned)]

    def end_of(self, name: str) -> SessionEnded | None:
        return next((r.event for r in self.world.records if isinstance(r.event, SessionEnded)
                     and r.event.session_id == name), None)  # fmt: skip


@pytest.mark.parametrize("how", ["silent", "lying"])
async def test_a_bad_node_delays_one_start_and_the_next_ones_go_elsewhere(how: str) -> None:
    fleet = Fleet("good", "a_bad")  # of two that are equal the first by name is chosen
    (fleet.world.silent if how == "silent" else fleet.lying).add("a_bad")
    first = await fleet.start()
    await fleet.pass_s(6)
    assert fleet.nodes_of(first) == ["a_bad", "good"]
    later: list[str] = []
    for _ in range(12):
        later.append(await fleet.start())
        await fleet.pass_s(0.5)
    assert {tuple(fleet.nodes_of(name)) for name in later} == {("good",)}


async def test_a_session_that_kills_its_workers_visits_six_nodes_and_no_more() -> None:
    fleet = Fleet(*(f"n{n:02}" for n in range(40)))
    await fleet.start()
    fleet.deadly.add("session_2")
    poison = await fleet.start()
    await fleet.pass_s(12)
    nodes = fleet.nodes_of(poison)
    assert len(nodes) == len(set(nodes)) == 6
    end = fleet.end_of(poison)
    assert end is not None
    assert (end.outcome, end.reason, end.epoch) == (Outcome.FAILED, "attempts_failed", 6)
    assert fleet.leader is not None
    assert len(fleet.leader.board.fleet.suspended(0)) <= 2


async def test_a_fleet_of_one_node_is_tried_until_it_works_again() -> None:
    fleet = Fleet("only")
    fleet.lying.add("only")
    first = await fleet.start()
    await fleet.pass_s(7)
    fleet.lying.clear()
    await fleet.pass_s(12)
    waited = await fleet.start()
    await fleet.pass_s(1)
    for name in (first, waited):
        assert fleet.end_of(name) is None, fleet.end_of(name)
        assert len(fleet.world.jobs["only"]) == 2


async def test_a_start_that_finds_only_suspended_nodes_begins_when_one_may_be_tried() -> None:
    fleet = Fleet("only")
    await fleet.start()
    assert fleet.leader is not None
    for n in range(4):  # 8 s of pause
        fleet.leader.board.fleet.failed("only", fleet.world.now_ms() + n * 10_000)
    fleet.world.monotonic_s += 31
    waits = await fleet.start()
    assert fleet.nodes_of(waits) == []
    assert fleet.leader.board.admission.blocked == "nodes_failing"
    await fleet.pass_s(8)
    assert fleet.nodes_of(waits) == ["only"]


async def test_the_leader_looks_at_the_queue_again_when_a_pause_is_over() -> None:
    """Without any report of a node: by its own timer, on the real clock."""
    world = World(Limits())
    world.add_node("only")
    leader = await Leader(world).begin()
    leader.board.fleet.failed("only", world.now_ms() - 950)
    world.write(requested("session_1"))
    leader.hear(1)
    await settle()
    assert not any(isinstance(r.event, JobAssigned) for r in world.records)
    world.monotonic_s += 1
    await until(lambda: any(isinstance(r.event, JobAssigned) for r in world.records), 5)
    await leader.conductor.stop()
