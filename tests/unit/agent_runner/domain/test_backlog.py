"""The backlog of one session: ordered, bounded, and never without what the bill hangs on."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.backlog import Backlog
from contracts.events import AgentReady, AgentStopped, Event, ServedTick, SessionStarted, TurnFinished

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SID = "session_1_a"


def tick(served_ms: int) -> ServedTick:
    return ServedTick(session_id=SID, time=NOW, epoch=1, served_ms=served_ms)


def turn(n: int, size: int = 10) -> TurnFinished:
    return TurnFinished(session_id=SID, time=NOW, epoch=1, n=n, user_text="u" * size, heard_text="")


READY = AgentReady(session_id=SID, time=NOW, epoch=1, node_id="n", pid=1, log_file="l")
STARTED = SessionStarted(session_id=SID, time=NOW, epoch=1, at=NOW)
STOPPED = AgentStopped(session_id=SID, time=NOW, epoch=1, cause="ended", served_ms=9)


def drain(backlog: Backlog) -> list[Event]:
    found: list[Event] = []
    while head := backlog.head():
        found.append(head.event)
        backlog.done(head)
    return found


def test_it_gives_events_back_in_order_with_what_they_expect() -> None:
    backlog = Backlog(10_000)
    backlog.put(READY)
    backlog.put(STARTED, 0)
    head = backlog.head()
    assert head is not None
    assert (head.event, head.expect_last) == (READY, None)
    backlog.done(head)
    head = backlog.head()
    assert head is not None
    assert head.expect_last == 0
    backlog.done(head)
    assert (len(backlog), backlog.size) == (0, 0)


def test_older_ticks_go_first_then_the_oldest_turns() -> None:
    backlog = Backlog(1000)
    events = [READY, STARTED, tick(5000), tick(10_000), turn(1, 200), turn(2, 200)]
    dropped = [event for event in events for event in backlog.put(event)]
    assert dropped == [tick(5000), turn(1, 200)]
    assert drain(backlog) == [READY, STARTED, tick(10_000), turn(2, 200)]


def test_an_event_given_up_while_it_was_being_sent_does_not_take_its_successor_along() -> None:
    backlog = Backlog(200)
    backlog.put(tick(1))
    head = backlog.head()
    assert head is not None
    backlog.put(tick(2))
    assert backlog.head() is not head
    backlog.done(head)
    assert drain(backlog) == [tick(2)]


_events = st.lists(
    st.one_of(st.builds(tick, st.integers(0, 10**6)), st.builds(turn, st.integers(0, 99), st.integers(0, 500))),
    max_size=40,
)


@given(_events, st.integers(0, 5000))
def test_order_holds_the_bound_holds_and_the_last_tick_stays(events: list[Event], max_bytes: int) -> None:
    backlog = Backlog(max_bytes)
    for event in (READY, STARTED, *events, STOPPED):
        backlog.put(event)
    kept = drain(backlog)
    assert [e for e in kept if isinstance(e, AgentReady | SessionStarted | AgentStopped)] == [READY, STARTED, STOPPED]
    positions = iter((READY, STARTED, *events, STOPPED))
    assert all(any(event == other for other in positions) for event in kept)
    ticks = [e for e in events if isinstance(e, ServedTick)]
    if ticks:
        assert ticks[-1] in kept
    if any(isinstance(e, TurnFinished) for e in kept):
        assert sum(len(e.model_dump_json()) for e in kept) <= max(max_bytes, 0)
