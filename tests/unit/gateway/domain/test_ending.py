"""An end's answer."""

from contracts.events import Outcome
from gateway.domain.ending import end_reply, process_is_gone
from tests.support.events import SESSION, ended, ready, stopped


def test_the_durations_are_the_bills_own() -> None:
    reply = end_reply(ended(61_500), process_gone=True, read_model_shows_it=True, errors=[])

    assert (reply.details.duration_seconds, reply.details.duration_minutes) == (61, 2)


def test_the_answer_has_the_names_that_existing_clients_read_and_when_and_how_it_ended() -> None:
    end = ended(1_000, outcome=Outcome.REJECTED, reason="no_nodes")

    reply = end_reply(end, process_gone=True, read_model_shows_it=False, errors=["no Redis"])

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
            "outcome": "rejected",
            "reason": "no_nodes",
            "ended_at": "2026-11-24T12:01:02.123456Z",
            "errors": ["no Redis"],
        },
    }


def test_a_job_that_was_never_assigned_has_no_process() -> None:
    assert process_is_gone(ended(epoch=0), [])


def test_the_process_is_gone_once_its_node_said_so() -> None:
    assert process_is_gone(ended(epoch=1), [ready(), stopped(epoch=1)])


def test_the_end_of_an_earlier_epochs_process_says_nothing_about_the_last() -> None:
    assert not process_is_gone(ended(epoch=2), [stopped(epoch=1)])
