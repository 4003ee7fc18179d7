"""Which jobs a node takes, ends and remembers, and when its entry may have lapsed."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.node import (
    FENCE_PAUSE_S,
    REMEMBERED,
    AnswerEnded,
    AssignEffect,
    EndedJob,
    EndEffect,
    EndEpoch,
    NodeJobs,
    NodeLease,
    NodeLimits,
    Refuse,
    StartJob,
)
from agent_runner.domain.pulse import MAX_STEP_S, silence_step
from contracts.causes import Cause
from contracts.deadlines import NODE_LEASE_S

FREE = NodeLimits(slots=2, busy=0)
S = "session_1"
ENDED = EndedJob(epoch=2, served_ms=1000, fault_ms=100)


def jobs(
    *, running: Mapping[str, int] | None = None, ended: EndedJob | None = None, term: int = 0, draining: bool = False
) -> NodeJobs:
    return NodeJobs(running or {}, {} if ended is None else {S: ended}, term, draining)


def test_a_free_node_takes_a_new_job() -> None:
    state, done = NodeJobs().assign(S, 1, FREE)
    assert (state.running, done) == ({S: 1}, (StartJob(),))


def test_the_same_command_again_is_answered_as_before_even_when_nothing_new_is_taken() -> None:
    state = jobs(running={S: 2}, draining=True)
    assert state.assign(S, 2, NodeLimits(1, 1, 0, "no NATS")) == (state, ())


def test_a_newer_epoch_on_the_same_node_replaces_the_older_in_its_slot() -> None:
    state, done = jobs(running={S: 1}).assign(S, 2, NodeLimits(slots=1, busy=1))
    assert (state.running, done) == ({S: 2}, (EndEpoch(Cause.SUPERSEDED), StartJob()))
    assert state.job_ended(S, EndedJob(1)).running == {S: 2}


@pytest.mark.parametrize(
    ("state", "limits", "code", "retryable"),
    [
        (jobs(running={S: 3}), FREE, "stale_epoch", False),
        (jobs(ended=ENDED), FREE, "epoch_over", False),
        (jobs(draining=True), FREE, "draining", True),
        (NodeJobs(), replace(FREE, not_ready="no worker was ever ready"), "not_ready", True),
        (NodeJobs(), replace(FREE, busy=2), "full", True),
        (jobs(term=7), FREE, "stale_term", False),
    ],
)
def test_a_refusal_says_why(state: NodeJobs, limits: NodeLimits, code: str, retryable: bool) -> None:
    after, (refused,) = state.assign(S, 2, limits, term=6)
    assert isinstance(refused, Refuse)
    assert (refused.code, refused.retryable, after.running) == (code, retryable, state.running)


@pytest.mark.parametrize(
    ("is_known", "limits", "code"),
    [
        (False, replace(FREE, busy=1), None),
        (False, replace(FREE, busy=1, held=1), "full"),
        (True, replace(FREE, busy=1, held=1), None),
        (False, replace(FREE, not_ready="no worker"), "not_ready"),
    ],
)
def test_a_room_is_joined_within_the_slots(is_known: bool, limits: NodeLimits, code: str | None) -> None:
    refused = NodeJobs().refuse_room(limits, is_known=is_known)
    assert (refused and refused.code) == code


def test_an_ended_job_is_answered_from_memory() -> None:
    assert jobs(ended=ENDED).end(S, 2)[1] == (AnswerEnded(ENDED),)
    assert jobs(ended=ENDED).end(S, 1)[1] == (AnswerEnded(None),)
    assert NodeJobs().end(S, 1)[1] == (AnswerEnded(None),)


@pytest.mark.parametrize(
    ("epoch", "superseded", "effect"),
    [(2, False, EndEpoch(Cause.ENDED)), (2, True, EndEpoch(Cause.SUPERSEDED)), (3, False, EndEpoch(Cause.SUPERSEDED))],
)
def test_an_end_ends_the_epoch_that_runs_here(epoch: int, superseded: bool, effect: EndEffect) -> None:
    assert jobs(running={S: 2}).end(S, epoch, superseded=superseded)[1] == (effect,)


def test_an_end_of_an_older_epoch_is_refused() -> None:
    (refused,) = jobs(running={S: 2}).end(S, 1)[1]
    assert isinstance(refused, Refuse)
    assert refused.code == "stale_epoch"


def test_the_node_forgets_the_job_that_ended_first() -> None:
    state = NodeJobs(ended={f"session_{n}": EndedJob(1) for n in range(REMEMBERED)})
    state = state.job_ended("session_0", EndedJob(2))
    state = state.job_ended("session_new", EndedJob(1))
    assert len(state.ended) == REMEMBERED
    assert "session_1" not in state.ended
    assert state.ended["session_0"] == EndedJob(2)


_sessions, _epochs = st.sampled_from([S, "session_2"]), st.integers(1, 4)
_commands = st.lists(
    st.tuples(
        st.sampled_from(["assign", "end", "over", "drain"]), _sessions, _epochs, st.integers(0, 3), st.booleans()
    ),
    max_size=30,
)


@given(_commands, st.integers(0, 2))
def test_no_epoch_older_than_what_the_node_knows_is_ever_started(
    commands: list[tuple[str, str, int, int, bool]], busy: int
) -> None:
    state, limits = NodeJobs(), NodeLimits(slots=2, busy=busy)
    for what, session_id, epoch, term, superseded in commands:
        before, done = state, tuple[AssignEffect | EndEffect, ...]()
        match what:
            case "assign":
                state, done = state.assign(session_id, epoch, limits, term=term)
            case "end":
                state, done = state.end(session_id, epoch, term=term, superseded=superseded)
            case "over":
                state = state.job_ended(session_id, EndedJob(epoch))
            case _:
                state = replace(state, draining=True)
        if StartJob() in done:
            assert what == "assign"
            assert before.running.get(session_id, 0) < epoch
            assert before.ended.get(session_id, EndedJob()).epoch < epoch
            assert not before.draining
            assert session_id in before.running or busy < limits.slots
        assert state.term >= before.term
        if any(isinstance(effect, Refuse) for effect in done):
            assert replace(state, term=before.term) == before


def test_the_lease_counts_from_the_last_renewal_and_the_jobs_are_fenced_once() -> None:
    lease = NodeLease(renewed=100)
    assert not lease.may_have_lapsed(100 + NODE_LEASE_S - 0.1)
    assert lease.may_have_lapsed(100 + NODE_LEASE_S)
    fenced = replace(lease, fenced=200)
    assert not fenced.may_have_lapsed(200 + FENCE_PAUSE_S - 0.1)
    assert fenced.may_have_lapsed(200 + FENCE_PAUSE_S)
    assert fenced.renew(199).renew(150).renewed == 199


@given(st.floats(-1, 1000))
def test_our_own_pause_never_makes_a_worker_look_dead(elapsed: float) -> None:
    assert 0 <= silence_step(elapsed) <= MAX_STEP_S
