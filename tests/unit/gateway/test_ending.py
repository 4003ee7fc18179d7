"""An end's answer, and a start that waits."""

import pytest
from contracts.errors import Refused
from contracts.events import Outcome
from gateway.domain.ending import end_reply, process_is_gone
from gateway.domain.waiting import stage_reached

from tests.unit.gateway.builders import SESSION, ended, ready, speaking, stopped, turn


def test_the_durations_are_the_bills_own() -> None:
    reply = end_reply(ended(billable_ms=61_500), process_gone=True, read_model_shows_it=True, errors=[])

    assert (reply.details.duration_seconds, reply.details.duration_minutes) == (61, 2)


def test_the_answer_has_the_names_that_existing_clients_read() -> None:
    reply = end_reply(ended(billable_ms=1_000), process_gone=True, read_model_shows_it=False, errors=["no Redis"])

    assert reply.model_dump(mode="json", by_alias=True) == {
        "success": True,
        "message": f"Session {SESSION} ended and cleaned up",
        "details": {
            "session_id": SESSION,
            "celery_task_revoked": True,
            "process_killed": True,
            "redis_cleaned": False,
            "durationSeconds": 1,
            "durationMinutes": 1,
            "errors": ["no Redis"],
        },
    }


def test_a_job_that_was_never_assigned_has_no_process() -> None:
    assert process_is_gone(ended(epoch=0), [])


def test_the_process_is_gone_once_its_node_said_so() -> None:
    assert process_is_gone(ended(epoch=1), [ready(), stopped(epoch=1)])


def test_the_end_of_an_earlier_epochs_process_says_nothing_about_the_last() -> None:
    assert not process_is_gone(ended(epoch=2), [stopped(epoch=1)])


def test_joined_is_reached_with_the_agent_in_the_room() -> None:
    assert stage_reached("joined", []) is None
    assert stage_reached("joined", [ready()]) == {"join": 120}


def test_speaking_is_reached_with_the_first_turn() -> None:
    assert stage_reached("speaking", [ready()]) is None
    assert stage_reached("speaking", [ready(), speaking()]) == {"join": 120, "heard": 180}
    assert stage_reached("joined", [ready(), speaking()]) == {"join": 120, "heard": 180}


def test_a_node_of_an_older_version_is_heard_when_its_first_turn_is_over() -> None:
    assert stage_reached("speaking", [ready(), turn()]) == {"join": 120}


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Outcome.REJECTED, "no_capacity"),
        (Outcome.FAILED, "start_failed"),
        (Outcome.NO_SHOW, "start_failed"),
        (Outcome.COMPLETED, "session_ended"),
    ],
)
def test_an_end_before_the_stage_is_a_refusal_with_its_reason(outcome: Outcome, code: str) -> None:
    with pytest.raises(Refused, match="no node was free") as refused:
        stage_reached("joined", [ended(outcome=outcome, reason="no node was free")])

    assert refused.value.problem.code == code
