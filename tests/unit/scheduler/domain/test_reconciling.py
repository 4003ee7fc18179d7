"""Orphaned and lost rooms, stale jobs and spare slots."""

from contracts.registry import NodeJob
from scheduler.domain.reconciling import (
    SlotFate,
    StaleJob,
    has_outlived,
    lost_rooms,
    slot_fate,
    stale_jobs,
    suspect_rooms,
)
from tests.support.events import SESSION, T0, assigned, end_requested, ended, requested
from tests.support.scheduler.builders import node, session


def test_only_old_rooms_of_our_form_without_an_open_session_are_suspect() -> None:
    old, young = T0 - 61_000, T0 - 59_000
    rooms = {"session_open": old, "session_gone": old, "session_young": young, "lobby": old}
    assert suspect_rooms(rooms, lambda name: name == "session_open", T0) == ["session_gone"]


def test_an_open_session_without_its_room_has_lost_it() -> None:
    running = session((0, requested()), (10, assigned()))
    assert lost_rooms([running], set(), T0 + 3_000) == [SESSION]
    assert lost_rooms([running], {SESSION}, T0 + 3_000) == []
    assert lost_rooms([running], set(), T0 + 1_999) == []
    assert lost_rooms([session((0, requested()), (5, end_requested()))], set(), T0 + 3_000) == []
    assert lost_rooms([session((0, requested()), (5, ended()))], set(), T0 + 3_000) == []


def test_jobs_of_ended_sessions_and_older_epochs_are_stale() -> None:
    def held(sid: str, epoch: int) -> NodeJob:
        return NodeJob(session_id=sid, epoch=epoch, pid=1)

    known = {
        "session_over": session((0, requested()), (1, assigned()), (2, ended())),
        "session_second": session((0, requested()), (1, assigned(1)), (2, assigned(2, "n2"))),
    }
    nodes = [
        node(jobs=(held("session_over", 1), held("session_second", 1), held("session_who", 1))),
        node("n2", jobs=(held("session_second", 2),)),
    ]
    stale, unknown = stale_jobs(nodes, known.get)
    assert stale == [StaleJob("session_over", 1, "n1"), StaleJob("session_second", 1, "n1", "superseded")]
    assert unknown == [StaleJob("session_who", 1, "n1")]


def test_a_slot_goes_when_its_session_owns_another_and_the_log_is_asked_about_an_unknown_one() -> None:
    running, over = session((0, requested()), (10, assigned())), session((0, requested()), (5, ended()))
    assert slot_fate(1, running, 0, 10**9) is SlotFate.RELEASE
    assert slot_fate(1, running, 1, 10**9) is SlotFate.KEEP
    assert slot_fate(1, running, None, 10**9) is SlotFate.KEEP
    assert slot_fate(1, over, 1, 10**9) is SlotFate.KEEP  # its own clean-up releases it
    assert [slot_fate(1, None, None, age_ms) for age_ms in (60_000, 60_001)] == [SlotFate.KEEP, SlotFate.ASK_LOG]


def test_a_slot_with_a_lost_log_is_kept_while_a_node_runs_its_job() -> None:
    runs = [node(jobs=(NodeJob(session_id=SESSION, epoch=1, pid=1),))]
    assert not has_outlived(SESSION, runs, 10**9, 1_000)
    assert has_outlived(SESSION, [], 901_001, 1_000)
    assert not has_outlived(SESSION, [], 901_000, 1_000)
