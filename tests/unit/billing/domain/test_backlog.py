from billing.domain.backlog import MOST_REMEMBERED, Backlog, End
from tests.support.billing.logs import call, log_of
from tests.support.events import SESSION, assigned, ended, ready, requested, started, stopped, tick


def test_an_end_is_due_and_holds_the_position_before_the_first_event_of_its_session() -> None:
    backlog = Backlog()
    for record in call(30_000):
        backlog.follow(record)

    (due,) = backlog.due.values()
    assert (due.cause.event.event, due.seq, due.is_late) == ("ended", 11, False)
    assert (backlog.position, backlog.unknown) == (10, {})

    backlog.due.clear()
    assert backlog.position == backlog.read == 20


def test_a_session_that_goes_on_is_looked_up_once_and_then_costs_nothing() -> None:
    backlog = Backlog()
    first, *more = log_of(assigned(), ready(), started(), *(tick(at) for at in range(5_000, 60_000, 5_000)))

    backlog.follow(first)
    assert (list(backlog.unknown), backlog.position) == ([SESSION], 9)
    backlog.learn({})
    for record in more:
        backlog.follow(record)

    assert (backlog.waiting, backlog.due) == (0, {})
    assert backlog.position == backlog.read == more[-1].seq


def test_what_comes_behind_the_end_of_a_settled_session_makes_it_due() -> None:
    backlog = Backlog()
    (late,) = log_of(stopped(65_000), first_seq=99)

    backlog.follow(late)
    backlog.learn({SESSION: End(98, late.stored_ms - 1)})

    assert [(due.seq, due.is_late) for due in backlog.due.values()] == [(99, True)]


def test_what_is_read_again_from_before_a_settled_end_is_not_late() -> None:
    backlog = Backlog()
    *within, end = call(30_000)
    for record in within:
        backlog.follow(record)
        backlog.learn({SESSION: End(end.seq, end.stored_ms)})
    assert not backlog.due

    backlog.follow(end)

    assert [due.is_late for due in backlog.due.values()] == [False]


def test_in_a_log_that_was_made_again_an_event_of_a_settled_session_is_late() -> None:
    backlog = Backlog()
    (late,) = log_of(stopped(65_000), first_seq=3)
    backlog.follow(late)
    backlog.learn({SESSION: End(900, late.stored_ms - 1)})

    assert list(backlog.due) == [SESSION]


def test_what_comes_behind_an_end_that_is_not_settled_yet_is_part_of_it() -> None:
    backlog = Backlog()
    for record in log_of(requested(), ended(), stopped(5_000)):
        backlog.follow(record)

    assert [(due.cause.event.event, due.seq, due.is_late) for due in backlog.due.values()] == [("ended", 11, True)]


def test_an_event_that_is_delivered_again_moves_nothing_back() -> None:
    backlog = Backlog()
    log = call(30_000)
    for record in (*log, *log[:3]):
        backlog.follow(record)

    assert backlog.read == log[-1].seq


def test_only_so_many_sessions_are_remembered() -> None:
    backlog = Backlog()
    for n in range(MOST_REMEMBERED + 5):
        backlog.follow(log_of(assigned(session_id=f"session_{n}"), first_seq=n)[0])
    backlog.learn({})

    backlog.follow(log_of(tick(1, session_id="session_0"), first_seq=MOST_REMEMBERED + 9)[0])
    backlog.follow(log_of(tick(1, session_id=f"session_{MOST_REMEMBERED}"), first_seq=MOST_REMEMBERED + 10)[0])

    assert list(backlog.unknown) == ["session_0"]
