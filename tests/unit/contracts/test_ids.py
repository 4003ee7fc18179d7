import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from contracts import ids
from contracts.events import ServedTick, SessionStarted
from contracts.ids import SessionId
from tests.support.events import NOW

SESSION_ID = TypeAdapter(SessionId)


@given(st.integers(0, 10**14), st.binary(min_size=6, max_size=32))
def test_a_new_session_id_is_well_formed_and_holds_time_and_randomness(now_ms: int, randomness: bytes) -> None:
    made = ids.session_id(now_ms, randomness)

    assert SESSION_ID.validate_python(made) == f"session_{now_ms}_{randomness[:6].hex()}"


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "session_",
        "session_a.b",
        "session_*",
        "session_>",
        "session_a b",
        "session_a\n",
        "session_é",
        "Session_a",
        "xsession_a",
        "session_" + "a" * 73,
    ],
)
def test_an_id_that_is_no_subject_token_or_key_is_refused(bad: str) -> None:
    with pytest.raises(ValidationError):
        SESSION_ID.validate_python(bad)


def test_the_id_of_a_fact_never_changes() -> None:
    assert str(ids.event_id("session_1", "tick", 1, 5000)) == "4af9b0e8-8c4c-59fe-a08c-3ddb90399dcf"


def test_the_same_fact_has_the_same_id_whenever_it_is_told() -> None:
    first = ServedTick(session_id="session_1", time=NOW, epoch=1, served_ms=5_000)
    later = first.model_copy(update={"time": NOW.replace(year=2030)})

    assert first.id == later.id


def test_facts_that_differ_in_kind_session_epoch_or_number_have_different_ids() -> None:
    told = {
        ids.event_id(session, event, epoch, n)
        for session in ("session_1", "session_2")
        for event in ("tick", "turn")
        for epoch in (1, 2)
        for n in (1, 2)
    }

    assert len(told) == 16


def test_a_session_starts_once_whichever_epoch_says_so() -> None:
    one = SessionStarted(session_id="session_1", time=NOW, epoch=1, at=NOW)
    two = SessionStarted(session_id="session_1", time=NOW, epoch=2, at=NOW)

    assert one.id == two.id


def test_caller_and_agent_are_never_the_same_participant() -> None:
    assert ids.agent_identity("session_1") != ids.caller_identity("session_1")
