"""When a start waits for the scheduler's first word."""

import pytest

from contracts.registry import QueueState
from gateway.domain.queue import may_be_full


@pytest.mark.parametrize(
    ("waiting", "most", "reported", "seq", "full"),
    [
        (0, 500, 1000, 1001, False),
        (0, 500, 1000, 1500, False),  # 499 others, all of them starts, and this one
        (0, 500, 1000, 1501, True),
        (450, 500, 1000, 1051, True),
        (450, 500, 1000, 1050, False),
        (500, 500, 1000, 1001, True),
        (0, 0, 1000, 1001, True),  # no queue: every start may be refused
    ],
)
def test_a_start_may_be_refused_if_every_event_since_the_report_was_a_start(
    waiting: int, most: int, reported: int, seq: int, full: bool
) -> None:
    assert may_be_full(QueueState(waiting=waiting, max_queue=most, seq=reported), seq) is full


def test_without_a_report_no_start_waits() -> None:
    assert not may_be_full(None, 10_000)
    assert not may_be_full(None, None)


def test_a_start_of_an_earlier_try_may_have_been_refused() -> None:
    assert may_be_full(QueueState(waiting=0, max_queue=500, seq=1000), None)
