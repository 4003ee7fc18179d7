"""The scheduler opens a start's words for its node, and never runs a start whose words do not open."""

import pytest

from contracts.events import JobAssigned, SessionEnded, SessionRequested
from scheduler.domain.limits import Limits
from tests.support.events import SESSION, requested, started
from tests.support.scheduler.world import Leader, World, asked, leads, settle

START = requested(metadata={"k": "v"})


async def begun(world: World) -> Leader:
    leader = await leads(world)
    world.write(world.words.seal(START))
    await leader.go_on()
    return leader


def upgraded(world: World, *, to: bool = True) -> None:
    world.states = {name: state.model_copy(update={"opens_words": to}) for name, state in world.states.items()}


async def test_a_node_gets_the_words_and_their_key() -> None:
    world = World(Limits(max_bots=2))
    world.add_node("n1")
    upgraded(world)
    leader = await Leader(world).begin()
    world.write(world.words.seal(START))
    leader.hear(1)
    assert world.words.expected == []
    await settle()

    job = world.jobs["n1"][SESSION]
    assert (job.user_name, job.opening_line, job.system_prompt) == ("Ann", "Hi Ann!", "Be kind.")
    assert job.words_key == world.words.secrets[SESSION]
    assert world.words.expected, "the key is read while the slot is taken"
    await leader.conductor.stop()


async def test_among_older_nodes_the_words_of_the_call_stay_in_the_clear() -> None:
    """An older node that takes the call over could not read the conversation."""
    world = World(Limits(max_bots=2))

    leader = await begun(world)  # n1 is of an older version

    job = world.jobs["n1"][SESSION]
    assert (job.opening_line, job.seals) == ("Hi Ann!", False)
    await leader.conductor.stop()


async def test_a_take_over_opens_what_was_sealed_though_an_older_node_is_alive_by_then() -> None:
    world = World(Limits(max_bots=2))
    for name in ("n1", "n3"):
        world.add_node(name)
    upgraded(world)
    leader = await Leader(world).begin()
    world.write(world.words.seal(START))
    for _ in range(3):
        leader.hear(1_000)
        await settle()
    [first] = [name for name in ("n1", "n3") if world.jobs.get(name)]
    assert world.jobs[first][SESSION].seals
    world.join(first, SESSION)
    world.write(started())
    leader.hear(1_000)
    await settle()

    world.add_node("n2", slots=100)  # of an older version, with the best rank
    leader.see_nodes()
    world.stop(first, SESSION, "crashed")
    for _ in range(3):
        leader.hear(1_000)
        await settle()

    [second] = {"n1", "n3"} - {first}
    job = world.jobs[second][SESSION]
    assert (job.epoch, job.takeover) == (2, True)
    assert (job.words_key, job.seals) == (world.words.secrets[SESSION], False)
    [_, assigned] = world.written(JobAssigned)
    assert "cannot read the conversation" in {c.node_id: c.why for c in assigned.considered}["n2"]
    await leader.conductor.stop()


async def test_a_start_whose_key_is_gone_ends_at_once_and_blames_no_node() -> None:
    world = World(Limits(max_bots=2))
    sealed = world.words.seal(START)
    world.words.secrets.clear()
    leader = await leads(world)
    world.write(sealed)
    for _ in range(4):
        leader.hear(1_000)
        await settle()

    assert [event.epoch for event in world.written(JobAssigned)] == [1]
    [end] = world.written(SessionEnded)
    assert (end.outcome, end.reason) == ("failed", "words_lost")
    assert not world.jobs.get("n1")
    assert not leader.board.fleet.ranking.suspensions
    assert world.words.forgotten == [SESSION]
    await leader.conductor.stop()


@pytest.mark.parametrize("store_is_lost", [False, True])
async def test_a_session_that_is_written_again_is_sealed_again_with_its_key(store_is_lost: bool) -> None:
    world = World(Limits(max_bots=2))
    world.add_node("n1")
    upgraded(world)
    leader = await asked(world, world.words.seal(START))
    leader.hear(1_000)
    await settle()
    world.join("n1", SESSION)
    world.rooms.add(SESSION)
    secret = world.words.secrets[SESSION]
    await leader.conductor.stop()
    world.monotonic_s += 300
    world.lose_store()
    if store_is_lost:
        world.words.secrets.clear()

    second = await Leader(world).begin()
    await second.repair(rounds=2)

    [again] = world.written(SessionRequested)
    assert world.words.secrets == {SESSION: secret}
    assert (again.user_name, again.system_prompt) == ("", "")
    found, _ = await world.words.open(again)
    assert (found.user_name, found.system_prompt) == ("Ann", "Be kind.")
    await second.conductor.stop()


async def test_the_fleet_opens_words_when_each_node_does() -> None:
    world = World(Limits(max_bots=2))
    world.add_node("n1")
    world.add_node("n2")
    upgraded(world)
    fleet = Leader(world).board.fleet
    for state in world.states.values():
        fleet.report(state)
    assert not fleet.older

    fleet.report(world.states["n2"].model_copy(update={"opens_words": False}))
    assert fleet.older == {"n2"}
    fleet.lose("n2")
    assert not fleet.older
