from billing.domain.unbilled import Unbilled
from contracts.events import SessionBilled

from tests.unit.billing.logs import NOW, ended


def billed(session: str) -> SessionBilled:
    return SessionBilled(session_id=session, time=NOW, seconds=0, minutes=0, credits=0)


def test_a_session_waits_from_its_end_until_its_bill() -> None:
    unbilled = Unbilled()
    unbilled.follow(ended(session="session_a"), 1, 100)
    unbilled.follow(ended(session="session_b"), 2, 200)
    unbilled.follow(billed("session_a"), 3, 300)

    assert unbilled.overdue(1_000) == ["session_b"]
    assert unbilled.position == 3


def test_a_session_is_overdue_only_when_it_ended_long_enough_ago_the_oldest_first() -> None:
    unbilled = Unbilled()
    for n, session in enumerate(("session_c", "session_b", "session_a")):
        unbilled.follow(ended(session=session), n, 100 * n)

    assert unbilled.overdue(100) == ["session_c", "session_b"]
