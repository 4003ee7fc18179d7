"""How many sessions there are."""

from contracts.registry import Slot
from gateway.domain.occupancy import Occupancy, from_read_model, from_registry, ready_agents
from gateway.domain.read_model import Status
from tests.support.events import NOW, assigned, ended, queued
from tests.support.gateway.builders import job, node


def slot(session_id: str) -> Slot:
    return Slot(session_id=session_id, taken_at=NOW)


def test_the_read_models_statuses_are_counted_by_what_they_mean() -> None:
    counts = {Status.READY: 1, Status.ACTIVE: 2, Status.REQUESTED: 4, Status.STARTING: 8, Status.QUEUED: 16}

    assert from_read_model(counts) == Occupancy(active=3, starting=12, queued=16)


def test_a_session_whose_process_runs_is_active_and_other_slots_are_starting() -> None:
    slots = [slot("session_a"), slot("session_b"), slot("session_c")]
    nodes = [node(jobs=(job("session_a"), job("session_b", pid=0), job("session_stray")))]

    assert from_registry(slots, nodes, []) == Occupancy(active=1, starting=2)


def test_whoever_queued_and_was_neither_placed_nor_ended_still_waits() -> None:
    recent = [queued("session_a"), queued("session_b"), queued("session_c"), queued("session_d")]
    recent_ends = [assigned(session_id="session_b"), ended(session_id="session_c")]

    assert from_registry([slot("session_d")], [], [*recent, *recent_ends]).queued == 1


def test_each_agent_that_waits_is_one_member_of_the_pool() -> None:
    nodes = [node("n1", warm=2), node("n2", warm=0), node("n3", draining=True), node("n-1", warm=1)]

    assert ready_agents(nodes, {"session_ahead"}) == {"n1:0", "n1:1", "n-1:0", "session_ahead"}


def test_the_pools_members_stay_while_others_come_and_go() -> None:
    assert ready_agents([node("n1", warm=2)], ()) < ready_agents([node("n1", warm=3), node("n2")], ())
