"""Whether a node takes a job."""

from dataclasses import replace

import pytest
from agent_runner.domain.assignment import NodeView, Refusal, Take, decide
from agent_runner.domain.pulse import MAX_STEP_S, silence_step
from hypothesis import given
from hypothesis import strategies as st

FREE = NodeView(slots=2, busy=0, draining=False)


def test_a_free_node_takes_a_new_job() -> None:
    assert decide(FREE, 1) is Take.NEW


def test_the_same_command_again_is_answered_as_before_even_when_nothing_new_is_taken() -> None:
    assert decide(NodeView(slots=1, busy=1, draining=True, held_epoch=2, not_ready="no NATS"), 2) is Take.ALREADY


def test_a_newer_epoch_on_the_same_node_replaces_the_older_in_its_slot() -> None:
    assert decide(NodeView(slots=1, busy=1, draining=False, held_epoch=1), 2) is Take.REPLACE


@pytest.mark.parametrize(
    ("view", "code", "retryable"),
    [
        (replace(FREE, held_epoch=3), "stale_epoch", False),
        (replace(FREE, ended_epoch=2), "epoch_over", False),
        (replace(FREE, draining=True), "draining", True),
        (replace(FREE, not_ready="no worker was ever ready"), "not_ready", True),
        (replace(FREE, busy=2), "full", True),
    ],
)
def test_a_refusal_says_why(view: NodeView, code: str, retryable: bool) -> None:
    with pytest.raises(Refusal) as refused:
        decide(view, 2)
    assert (refused.value.code, refused.value.retryable) == (code, retryable)


@given(
    st.builds(
        NodeView,
        slots=st.integers(1, 3),
        busy=st.integers(0, 3),
        draining=st.booleans(),
        held_epoch=st.none() | st.integers(1, 4),
        ended_epoch=st.none() | st.integers(1, 4),
    ),
    st.integers(1, 5),
)
def test_no_epoch_older_than_what_the_node_knows_is_ever_started(view: NodeView, epoch: int) -> None:
    try:
        take = decide(view, epoch)
    except Refusal:
        return
    if take is not Take.ALREADY:
        assert (view.held_epoch or 0) < epoch
        assert (view.ended_epoch or 0) < epoch
    if take is Take.NEW:
        assert view.busy < view.slots


@given(st.floats(-1, 1000))
def test_our_own_pause_never_makes_a_worker_look_dead(elapsed: float) -> None:
    assert 0 <= silence_step(elapsed) <= MAX_STEP_S
