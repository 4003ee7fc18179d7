"""When a room joined ahead is renewed, put away, given up."""

from agent_runner.domain.waiting import CLAIM_S, Step, Waiting, next_step
from contracts.deadlines import PREJOINED_LEASE_S, PREJOINED_RENEW_S

NOW = 1000.0


def step(*, expires_in: float = 600, renewed_ago: float = 0, claimed_ago: float | None = None, silent_s: float = 0):
    room = Waiting(
        expires=NOW + expires_in,
        renewed=NOW - renewed_ago,
        claimed=None if claimed_ago is None else NOW - claimed_ago,
    )
    return next_step(room, NOW, silent_s=silent_s, silence_limit_s=5)


def test_a_fresh_room_waits_and_its_key_is_renewed_in_time() -> None:
    assert step() is Step.WAIT
    assert step(renewed_ago=PREJOINED_RENEW_S) is Step.RENEW


def test_an_aged_room_is_withdrawn_not_just_ended() -> None:
    assert step(expires_in=0) is Step.WITHDRAW


def test_a_room_whose_key_cannot_be_renewed_is_given_up() -> None:
    assert step(renewed_ago=PREJOINED_LEASE_S) is Step.END
    assert step(renewed_ago=PREJOINED_LEASE_S, expires_in=0) is Step.END


def test_a_room_that_somebody_took_waits_for_its_job_whatever_its_age_but_not_for_ever() -> None:
    assert step(claimed_ago=CLAIM_S - 1, expires_in=-60, renewed_ago=PREJOINED_LEASE_S) is Step.WAIT
    assert step(claimed_ago=CLAIM_S) is Step.END


def test_a_worker_that_hangs_is_of_no_use_to_anybody() -> None:
    assert step(silent_s=5) is Step.END
    assert step(silent_s=5, claimed_ago=0) is Step.END
