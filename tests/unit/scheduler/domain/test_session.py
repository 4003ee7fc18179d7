"""The fold: what a session's log says, in whatever order and however often it is read."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Event
from scheduler.domain.session import Recorded, Session, fold
from tests.support.events import SESSION, T0, assigned, end_requested, ended, queued, ready, requested, started, stopped
from tests.support.scheduler.builders import log, session

EVENTS: list[Event] = [
    requested(),
    queued(),
    assigned(1),
    ready(1),
    started(1),
    stopped(900, 1),
    assigned(2, "n2"),
    ready(2, "n2"),
    stopped(1500, 2, "ended"),
    end_requested(),
    ended(epoch=2),
]


@given(st.data())
def test_any_order_and_repetition_of_the_records_gives_the_same_session(data: st.DataObject) -> None:
    records = log(*EVENTS)
    # The same fact again, later in the log: a repetition outside the dedupe window.
    records += [
        Recorded(r.event, r.stored_ms + 200_000, r.seq + 100) for r in data.draw(st.lists(st.sampled_from(records)))
    ]
    order = data.draw(st.permutations(records))
    again = data.draw(st.lists(st.sampled_from(records), max_size=20))

    state = Session(SESSION)
    for record in [*order, *again]:
        state = fold(state, record)

    expected = Session(SESSION)
    for record in records:
        expected = fold(expected, record)
    assert state == expected
    assert state.epoch == 2
    assert state.requested_ms == T0 + 10


def test_an_older_epochs_stop_leaves_the_current_one_alone() -> None:
    state = session(requested(), assigned(1), ready(1), assigned(2, "n2"), stopped(epoch=1, cause="ended"))

    assert state.current is not None
    assert state.current.epoch == 2
    assert 2 not in state.stops


def test_deaths_are_ready_agents_with_a_successor() -> None:
    state = session(requested(), assigned(1), assigned(2), ready(2), assigned(3), ready(3))
    assert state.deaths == 1


def test_the_time_to_start_begins_at_the_first_attempt_after_the_last_ready_one() -> None:
    state = session(
        (0, requested()),
        (1, assigned(1)),
        (5, ready(1)),
        (700, assigned(2)),
        (900, assigned(3)),
        (901, stopped(epoch=3)),
    )
    assert state.starting_since_ms == T0 + 700
    assert session((0, requested()), (1, assigned(1)), (5, ready(1))).starting_since_ms is None
