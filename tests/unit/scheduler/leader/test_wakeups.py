"""Nothing that is accepted waits for ever: lapsed leases, lost wake-ups, lost ends, deposed leaders."""

import pytest

from contracts.events import AgentStopped, JobAssigned, SessionEnded
from scheduler.domain.limits import Limits
from scheduler.leader.agents import Agents
from tests.support.events import SESSION, assigned, end_requested, ended, requested, started
from tests.support.scheduler.world import Leader, World, leads, settle

LIMITS = Limits(max_bots=2, max_queue=3)


async def leader_with_node() -> tuple[World, Leader]:
    world = World(LIMITS)
    leader = await leads(world)
    return world, leader


def count(world: World, kind: type) -> int:
    return sum(isinstance(record.event, kind) for record in world.records)


async def test_a_start_that_is_heard_while_the_lease_is_away_is_placed_when_it_is_back() -> None:
    world, leader = await leader_with_node()
    leader.holds = False
    world.write(requested())
    await leader.go_on()
    assert count(world, JobAssigned) == 0

    leader.holds = True
    world.monotonic_s += 0.3
    await leader.go_on()

    assert count(world, JobAssigned) == 1
    await leader.conductor.stop()


@pytest.mark.parametrize("turns", range(8))
async def test_a_step_that_loses_the_lease_half_way_goes_on_when_it_is_back(turns: int) -> None:
    world, leader = await leader_with_node()
    world.write(requested())
    leader.hear(1)
    await settle(turns)
    leader.holds = False
    await settle()

    leader.holds = True
    world.monotonic_s += 0.3
    await leader.go_on()

    assert SESSION in world.jobs["n1"]
    await leader.conductor.stop()


async def test_a_session_without_a_timer_is_found_by_the_sweep() -> None:
    world, leader = await leader_with_node()
    world.write(requested())
    leader.board.record(world.records[0])  # known, and its wake-up lost
    await leader.go_on()
    assert count(world, JobAssigned) == 0

    leader.conductor.sweep()
    await leader.go_on()

    assert count(world, JobAssigned) == 1
    await leader.conductor.stop()


async def test_a_sweep_leaves_those_alone_that_wait_for_a_time() -> None:
    world, leader = await leader_with_node()
    world.write(requested())
    await leader.go_on()
    woken: list[str] = []
    leader.conductor.wake = woken.append  # type: ignore[method-assign]

    leader.conductor.sweep()

    assert woken == []
    await leader.conductor.stop()


class LosesEnds(Agents):
    """Its first ends fail as a bug does: no answer, and an exception that no task awaits."""

    def __init__(self, world: World, leader: Leader, fails: int) -> None:
        super().__init__(world, world, "ws://x", leader, world.words)
        self.fails = fails

    async def end(self, *arguments: object, **more: object) -> object:  # type: ignore[override]
        if self.fails > 0:
            self.fails -= 1
            raise RuntimeError("a bug")
        return await super().end(*arguments, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [1, 9])
async def test_an_end_that_got_lost_is_repeated_and_the_session_ends_in_any_case(fails: int) -> None:
    world = World(LIMITS)
    world.add_node("n1")
    leader = await Leader(world, make_agents=lambda leader: LosesEnds(world, leader, fails)).begin()
    world.write(requested())
    await leader.go_on()
    world.join("n1", SESSION)
    world.write(started())
    world.write(end_requested())
    await leader.go_on()
    assert count(world, SessionEnded) == 0

    for _ in range(3):
        world.monotonic_s += LIMITS.end_wait_ms / 1000
        await leader.go_on()

    assert count(world, SessionEnded) == 1
    assert count(world, AgentStopped) == 1
    assert world.held_slots == {}
    await leader.conductor.stop()


async def test_work_beside_the_steps_that_fails_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    _, leader = await leader_with_node()

    async def fail() -> None:
        raise RuntimeError("a bug")

    leader.conductor.beside(fail())
    await settle()

    written = capsys.readouterr()  # where to depends on whether another test has set logging up
    assert "task.failed" in written.out + written.err
    await leader.conductor.stop()


async def test_a_leader_before_the_last_one_commands_no_node_and_the_last_one_goes_on() -> None:
    world, former = await leader_with_node()
    former_agents, latest = former.conductor._endings._agents, Leader(world)  # pyright: ignore[reportPrivateUsage]
    await latest.begin()
    world.write(requested())
    await latest.go_on()
    assert world.heard_terms == {"n1": latest.term}

    assert await former_agents.stop_job(SESSION, 1, "n1", "stale") is False
    assert SESSION in world.jobs["n1"]
    assert await latest.conductor._endings._agents.stop_job(SESSION, 1, "n1", "stale")  # pyright: ignore[reportPrivateUsage]
    assert SESSION not in world.jobs["n1"]
    await former.conductor.stop()
    await latest.conductor.stop()


async def test_the_rightful_leader_whose_terms_begin_again_outbids_what_a_node_has_heard() -> None:
    world, leader = await leader_with_node()
    world.heard_terms["n1"] = 40
    world.write(requested())

    await leader.go_on()

    assert SESSION in world.jobs["n1"]
    assert leader.term > 40
    await leader.conductor.stop()


async def test_a_job_that_is_assigned_after_the_end_is_stopped() -> None:
    world, leader = await leader_with_node()
    world.rooms.add(SESSION)
    for event in (requested(), ended(epoch=0)):
        world.write(event)
    await leader.go_on()
    assert leader.board.roster.ids() == []

    world.write(assigned())  # a former leader's, which the compare-and-set on its own subject lets in
    await leader.go_on()

    assert [(job.session_id, job.epoch) for job in world.ends] == [(SESSION, 1)]
    await leader.conductor.stop()


async def test_a_stop_is_repeated_until_it_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True, True])
    asked: list[str] = []

    async def stop_job(session_id: str, *_: object) -> bool:
        asked.append(session_id)
        return next(answers)

    _, leader = await leader_with_node()
    monkeypatch.setattr(leader.conductor._endings._agents, "stop_job", stop_job)  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr("scheduler.leader.endings._STOP_PAUSE_S", 0)

    leader.conductor.stop_job(SESSION, 1, "n1", "superseded")
    await settle()

    assert len(asked) == 3
    await leader.conductor.stop()
