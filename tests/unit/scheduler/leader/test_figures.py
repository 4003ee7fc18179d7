"""What is counted of the log."""

import pytest

from chassis.metrics import REGISTRY
from contracts.causes import EFFECTS, Cause, Effect
from contracts.events import Event
from scheduler.domain.session import Recorded, Session, fold
from scheduler.leader import figures
from tests.support.events import SESSION, T0, assigned, ended, ready, requested, stopped


def takeovers() -> tuple[float, float]:
    """How many there were, and the seconds that they took together."""
    name = "scheduler_takeover_seconds"
    return REGISTRY.get_sample_value(f"{name}_count") or 0.0, REGISTRY.get_sample_value(f"{name}_sum") or 0.0


def count(*events: tuple[int, Event]) -> None:
    """Count a session's records, each stored so many ms after the first."""
    session = Session(SESSION)
    for seq, (after_ms, event) in enumerate(events, 1):
        record = Recorded(event, T0 + after_ms, seq)
        session = fold(session, record)
        figures.count(record, session)


def test_the_gap_of_a_takeover_begins_with_the_word_of_the_agents_end() -> None:
    number, seconds = takeovers()
    count(
        (0, requested()), (5, assigned()), (100, ready()), (9_000, stopped()), (9_010, assigned(2)), (9_300, ready(2))
    )  # fmt: skip
    assert takeovers() == (number + 1, pytest.approx(seconds + 0.3))


def test_the_gap_after_a_lost_node_begins_with_the_next_assignment() -> None:
    number, seconds = takeovers()
    count((0, requested()), (5, assigned()), (100, ready()), (15_000, assigned(2, "n2")), (15_250, ready(2, "n2")))
    assert takeovers() == (number + 1, pytest.approx(seconds + 0.25))


def test_a_second_try_of_a_start_is_no_takeover() -> None:
    before = takeovers()
    count((0, requested()), (5, assigned()), (5_000, assigned(2, "n2")), (5_200, ready(2, "n2")))
    assert takeovers() == before


@pytest.mark.parametrize("reason", [c for c in Cause if EFFECTS[c] is Effect.COMPLETES and c is not Cause.ENDED])
def test_every_reason_that_a_node_gives_is_counted_under_its_name(reason: str) -> None:
    def counted() -> float:
        labels = {"outcome": "completed", "reason": reason}
        return REGISTRY.get_sample_value("scheduler_ended_total", labels) or 0.0

    before = counted()
    count((0, requested()), (5, assigned()), (100, ended().model_copy(update={"reason": reason})))
    assert counted() == before + 1
