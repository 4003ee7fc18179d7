"""What `greenroom end` says of a session that it ended, and of one that had ended before."""

from datetime import UTC, datetime, timedelta

from contracts.api import EndDetails, EndReply
from greenroom_cli.commands.end import described

ENDED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def reply(**changes: object) -> EndReply:
    details = EndDetails(
        session_id="session_a",
        celery_task_revoked=True,
        process_killed=True,
        redis_cleaned=True,
        durationSeconds=61,
        durationMinutes=2,
        outcome="failed",
        reason="agent_failed",
        ended_at=ENDED,
    )
    return EndReply(message="Session session_a ended and cleaned up", details=details.model_copy(update=changes))


def test_a_session_that_this_command_ended_is_told_how_it_ended() -> None:
    line = described(reply(outcome="completed", reason="requested"), ENDED - SECOND, ENDED + 2 * SECOND)

    assert line == "Session session_a ended: completed, requested; to be billed: 61 s, 2 minute(s)"


def test_a_session_that_had_ended_is_told_when_and_how() -> None:
    line = described(reply(), ENDED + 719 * SECOND, ENDED + 720 * SECOND)

    assert line.startswith("Session session_a had already ended (2026-11-24 12:00:00 UTC, 12 m 0 s ago)")
    assert "failed, agent_failed" in line
    assert line.endswith("; bill: 61 s, 2 minute(s)")


def test_a_session_that_ended_by_itself_seconds_before_had_already_ended() -> None:
    line = described(reply(), ENDED + 8 * SECOND, ENDED + 8 * SECOND)

    assert line.startswith("Session session_a had already ended (2026-11-24 12:00:00 UTC, 8 s ago)")


def test_clocks_that_differ_by_a_second_do_not_make_an_end_an_earlier_one() -> None:
    line = described(reply(), ENDED + SECOND, ENDED + 2 * SECOND)

    assert line.startswith("Session session_a ended: ")


def test_a_gateway_of_an_earlier_version_says_what_it_knows() -> None:
    line = described(reply(outcome=None, reason=None, ended_at=None), ENDED, ENDED)

    assert line == "Session session_a ended and cleaned up; to be billed: 61 s, 2 minute(s)"
