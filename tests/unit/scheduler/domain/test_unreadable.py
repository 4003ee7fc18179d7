"""Sessions in whose log a decisive record cannot be read."""

from chassis.nats.jetstream.messages import stored
from contracts.events import Event, Outcome
from scheduler.adapters.nats_session_log import _recorded  # pyright: ignore[reportPrivateUsage]
from scheduler.domain.board import Board
from scheduler.domain.decision import DeleteRoom, End, ReleaseSlot, Remove, StopAgent, decide
from scheduler.domain.facts import Facts, Verdict
from scheduler.domain.limits import Limits
from scheduler.domain.session import ASSIGNED, ENDED, REQUESTED, Unreadable
from tests.support.events import SESSION, T0, assigned, ended, ready, requested, started, stopped
from tests.support.scheduler.builders import at_ms, log, session

VERDICT = Verdict(Outcome.FAILED, "unreadable_log")
FACTS = Facts(since_ms=T0, slot=0)


def unreadable(kind: str) -> Unreadable:
    return Unreadable(session_id=SESSION, time=at_ms(T0), kind=kind)


def decided(*events: Event, facts: Facts = FACTS) -> tuple[object, ...]:
    return decide(session(*events), facts, T0 + 1_000, Limits()).actions


def test_a_request_that_cannot_be_read_is_ended_at_once() -> None:
    assert decided(unreadable(REQUESTED), facts=Facts(since_ms=T0)) == (End(VERDICT),)


def test_an_assignment_that_cannot_be_read_ends_the_session_and_its_known_agent() -> None:
    assert decided(requested(), unreadable(ASSIGNED)) == (End(VERDICT),)
    assert decided(requested(), assigned(), ready(), unreadable(ASSIGNED)) == (StopAgent(1, "n1", VERDICT),)


def test_an_agent_in_the_room_goes_on_until_it_fails() -> None:
    served = (unreadable(REQUESTED), assigned(), ready(), started())
    assert decided(*served) == ()
    assert decided(*served, stopped()) == (End(VERDICT),)


def test_an_end_that_cannot_be_read_is_an_end() -> None:
    over = (requested(), unreadable(ENDED))
    assert decided(*over) == (ReleaseSlot(0), DeleteRoom())
    assert decided(*over, facts=Facts(since_ms=T0, room_deleted=True)) == (Remove(),)


def test_once_ended_it_is_cleared_up_like_any_other() -> None:
    assert decided(unreadable(REQUESTED), ended(epoch=0)) == (ReleaseSlot(0), DeleteRoom())


def test_the_board_follows_a_session_from_its_unreadable_request() -> None:
    board = Board(Limits(), T0)
    for record in log(unreadable(REQUESTED)):
        assert board.record(record) == SESSION
    assert [s.session_id for s in board.roster.open_sessions()] == [SESSION]


def test_only_records_that_decide_about_a_session_are_followed_unread() -> None:
    def kind_of(subject: str) -> str | None:
        record = _recorded(stored(subject, b"\\xff", seq=7, at=at_ms(T0), headers=None))
        return record.event.kind if record is not None and isinstance(record.event, Unreadable) else None

    assert [kind_of(f"voice.v1.session.{kind}.{SESSION}") for kind in (REQUESTED, ASSIGNED, ENDED)] == [
        REQUESTED,
        ASSIGNED,
        ENDED,
    ]
    assert kind_of(f"voice.v1.session.tick.{SESSION}") is None
    assert kind_of("voice.v1.session.requested.x") is None
    assert kind_of(f"voice.v1.session.requested.{SESSION}.x") is None
