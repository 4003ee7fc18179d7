"""The read model's fold: the same keys from any order and any repetition of a session's events."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event, Outcome
from gateway.domain.read_model import (
    SessionState,
    Status,
    fold_all,
    job_id,
    session_keys,
    session_view,
    unix,
    user_config,
)
from tests.support.events import (
    NOW,
    SESSION,
    assigned,
    at,
    ended,
    queued,
    ready,
    requested,
    speaking,
    started,
    stopped,
    turn,
)

WHOLE_CALL: list[Event] = [
    requested(),
    assigned(),
    ready(),
    started(),
    speaking(),
    turn(heard="Hi Ann!"),
    stopped(),
    ended(),
]


def state_of(*events: Event) -> SessionState:
    state = fold_all(events)
    assert state is not None
    return state


def fields_of(*events: Event) -> dict[str, str]:
    keys = session_keys(state_of(*events))
    assert keys is not None
    return keys.fields


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([requested()], Status.REQUESTED),
        ([requested(), queued()], Status.QUEUED),
        ([requested(), queued(), assigned()], Status.STARTING),
        ([requested(), assigned(), ready()], Status.READY),
        ([requested(), assigned(), ready(), started()], Status.ACTIVE),
        (WHOLE_CALL, Status.ENDED),
        ([requested(), queued(), ended(0, 0, outcome=Outcome.REJECTED)], Status.REJECTED),
        ([requested(), assigned(), ended(outcome=Outcome.FAILED)], Status.ENDED),
        ([requested(), assigned(), ready(), stopped(), assigned(2)], Status.STARTING),
        ([requested(), assigned(), ready(), started(), stopped(), assigned(2)], Status.ACTIVE),
    ],
)
def test_the_status_is_the_furthest_that_the_log_proves(events: list[Event], status: Status) -> None:
    assert state_of(*events).status is status


def test_a_finished_call_has_exactly_the_fields_of_the_schema_all_as_text() -> None:
    assert fields_of(*WHOLE_CALL) == {
        "userName": "Ann",
        "userId": "ann-1",
        "voiceId": "Ashley",
        "openingLine": "Hi Ann!",
        "systemPrompt": "Be kind.",
        "status": "ended",
        "agentPid": "4711",
        "createdAt": "1795521600",
        "startTime": unix(at(0.5)),
        "conversationStartTime": unix(at(1)),
        "conversationDuration": "61",
        "conversationDurationMinutes": "2",
        "celeryTaskId": job_id(requested()),
        "logFile": f"{SESSION}.1.log",
    }


def test_after_a_take_over_process_and_log_are_the_new_ones_and_the_start_is_the_first() -> None:
    fields = fields_of(requested(), assigned(), ready(), assigned(2), ready(2, pid=4712, after=30))

    assert fields["agentPid"] == "4712"
    assert fields["logFile"] == f"{SESSION}.2.log"
    assert fields["startTime"] == unix(at(0.5))


def test_a_late_word_of_an_old_epoch_changes_nothing() -> None:
    now = [requested(), assigned(), assigned(2), ready(2, pid=4712)]

    assert fields_of(*now, ready(1, after=0.5))["agentPid"] == "4712"
    assert state_of(*now, stopped(epoch=1)).live_pid == 4712


@pytest.mark.parametrize("last", [stopped(), ended()])
def test_the_process_id_goes_with_the_process(last: Event) -> None:
    call = [requested(), assigned(), ready()]
    before, after = session_keys(state_of(*call)), session_keys(state_of(*call, last))

    assert before is not None
    assert after is not None
    assert (before.pid, after.pid) == ("4711", None)


def test_a_session_is_in_at_most_one_set() -> None:
    for length in range(1, len(WHOLE_CALL) + 1):
        keys = session_keys(state_of(*WHOLE_CALL[:length]))
        assert keys is not None
        assert (keys.in_starting, keys.in_ready) == (length <= 2, 3 <= length < len(WHOLE_CALL))


def test_only_an_ended_session_expires() -> None:
    running, over = session_keys(state_of(*WHOLE_CALL[:-1])), session_keys(state_of(*WHOLE_CALL))

    assert running is not None
    assert over is not None
    assert (running.ended_at, over.ended_at) == (None, at(62))


def test_a_session_whose_request_is_unknown_shows_nowhere() -> None:
    state = state_of(assigned(), ready())

    assert session_keys(state) is None
    assert session_view(state) is None


def test_an_empty_log_is_no_session() -> None:
    assert fold_all([]) is None


def test_the_view_tells_how_the_session_ended() -> None:
    view = session_view(state_of(*WHOLE_CALL))

    assert view is not None
    assert (view.status, view.outcome, view.reason, view.node_id, view.epoch) == (
        "ended",
        "completed",
        "requested",
        "n1",
        1,
    )
    assert (view.conversation_duration, view.conversation_duration_minutes, view.stage_ms["heard"]) == (61, 2, 180)


def test_the_stages_are_the_present_agents_down_to_its_first_sound() -> None:
    def stages(*events: Event) -> dict[str, int]:
        view = session_view(state_of(requested(), assigned(), *events))
        assert view is not None
        return view.stage_ms

    assert stages(speaking()) == {}
    assert stages(speaking(), ready()) == {"join": 120, "heard": 180}
    assert stages(ready(), speaking(), ready(2)) == {"join": 240}


def test_the_place_in_the_queue_shows_only_while_it_waits() -> None:
    waiting = session_view(state_of(requested(), queued(position=3)))
    placed = session_view(state_of(requested(), queued(position=3), assigned()))

    assert waiting is not None
    assert placed is not None
    assert (waiting.queue_position, placed.queue_position) == (3, None)


def test_a_users_configuration_is_what_the_user_last_asked_for() -> None:
    assert user_config(requested()) == {
        "voiceId": "Ashley",
        "openingLine": "Hi Ann!",
        "systemPrompt": "Be kind.",
        "updatedAt": unix(NOW),
    }


_epochs = st.integers(1, 4)
_seconds = st.integers(0, 900)
_facts: st.SearchStrategy[Event] = st.one_of(
    st.just(requested()),
    st.builds(queued, position=st.integers(1, 9), after=_seconds),
    st.builds(assigned, epoch=_epochs),
    st.builds(ready, epoch=_epochs),
    st.builds(started, after=_seconds),
    st.builds(turn, epoch=_epochs, n=st.integers(0, 5)),
    st.builds(stopped, epoch=_epochs),
    st.builds(ended, outcome=st.sampled_from(Outcome), after=_seconds),
)
# A log: one fact of each identity, as the stream's ids and sequences ensure.
_logs = st.lists(_facts, max_size=25, unique_by=lambda event: event.id)


def _outcome_of(events: list[Event]) -> Any:
    state = fold_all(events)
    return state, state and session_keys(state), state and session_view(state)


@given(log=_logs, data=st.data())
def test_order_and_repetition_change_nothing(log: list[Event], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(log), max_size=10)) if log else []
    shuffled = data.draw(st.permutations([*log, *again]))

    assert _outcome_of(list(shuffled)) == _outcome_of(log)


@given(log=_logs, cut=st.integers(0, 25))
def test_going_on_from_what_was_written_equals_folding_the_whole_log(log: list[Event], cut: int) -> None:
    before = fold_all(log[:cut])
    stored = None if before is None else SessionState.model_validate_json(before.model_dump_json(exclude_none=True))

    assert fold_all(log[cut:], stored) == fold_all(log)
