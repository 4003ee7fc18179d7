"""How long an unknown session may still be one that the scheduler restores."""

import pytest

from contracts.deadlines import RESTORE_WAIT_S, UNTOLD_RESTORE_WAIT_S
from contracts.registry import QueueState
from gateway.domain.restoring import may_lack_sessions

MADE_MS = 1_700_000_000_000


def told(restored_ms: int | None) -> QueueState:
    return QueueState(waiting=0, max_queue=10, seq=1, restored_ms=restored_ms)


@pytest.mark.parametrize(
    ("state", "made_ms", "ends_s"),
    [
        (told(MADE_MS), MADE_MS, 0),
        (told(MADE_MS - 1), MADE_MS, RESTORE_WAIT_S),  # of the lost log
        (told(0), MADE_MS, RESTORE_WAIT_S),
        (told(MADE_MS), 0, RESTORE_WAIT_S),  # the log does not answer yet: the report may be of the lost one
        (told(0), 0, RESTORE_WAIT_S),
        (None, MADE_MS, RESTORE_WAIT_S),
        (told(None), MADE_MS, UNTOLD_RESTORE_WAIT_S),
    ],
)
def test_it_ends_when_the_scheduler_says_so_and_is_bounded(
    state: QueueState | None, made_ms: int, ends_s: float
) -> None:
    assert not may_lack_sessions(ends_s, made_ms, state)
    assert ends_s == 0 or may_lack_sessions(ends_s - 0.1, made_ms, state)
