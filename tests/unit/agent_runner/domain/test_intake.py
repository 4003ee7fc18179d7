"""The caller's audio: a stall is noticed, subscribed to again, and at last ends the agent's run."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.intake import STALL_S, Intake, Verdict

LOOK_S = 0.25


def verdicts(came: list[bool], *, is_due: bool = True, step_s: float = LOOK_S) -> list[tuple[float, Verdict]]:
    """The verdicts that ask for something, with their times."""
    intake, found = Intake(looked_at=0.0), list[tuple[float, Verdict]]()
    for n, one in enumerate(came, 1):
        intake, verdict = intake.looked(n * step_s, is_due=is_due, came=one)
        if verdict != "well":
            found.append((n * step_s, verdict))
    return found


def test_a_stall_is_subscribed_to_again_and_then_lost() -> None:
    assert verdicts([False] * 41) == [(STALL_S, "resubscribe"), (2 * STALL_S, "lost")]


def test_audio_that_comes_back_ends_the_stall() -> None:
    assert verdicts([False] * 20 + [True] + [False] * 19) == [(5.0, "resubscribe"), (5.25, "back")]


def test_a_caller_without_an_open_microphone_is_not_missed() -> None:
    assert verdicts([False] * 100, is_due=False) == []


def test_a_process_that_stood_still_misses_nothing() -> None:
    assert verdicts([False, True], step_s=60) == []


@given(st.lists(st.booleans(), max_size=200))
def test_nothing_is_lost_before_two_stalls_without_a_frame(came: list[bool]) -> None:
    for at, verdict in verdicts(came):
        if verdict == "lost":
            n = round(at / LOOK_S)
            assert not any(came[n - round(2 * STALL_S / LOOK_S) : n])
