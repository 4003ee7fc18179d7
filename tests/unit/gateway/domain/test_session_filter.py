"""Which sessions a list shows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.events import Outcome
from gateway.domain.read_model import SessionState, Status, fold_all
from gateway.domain.session_filter import CURSOR_PATTERN, Cursor, SessionFilter, metadata_condition, parse_cursor
from tests.support.events import NOW, at, ended, requested


def state(*, is_ended: bool = True) -> SessionState:
    made = fold_all([requested(metadata={"campaign": "spring"}), *([ended()] if is_ended else [])])
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ({}, True),
        ({"user": "Ann"}, True),
        ({"user": "ann-1"}, True),
        ({"user": "ann"}, False),
        ({"statuses": {Status.ENDED, Status.QUEUED}}, True),
        ({"statuses": {Status.ACTIVE}}, False),
        ({"outcomes": {Outcome.COMPLETED}}, True),
        ({"outcomes": {Outcome.FAILED}}, False),
        ({"since": NOW}, True),
        ({"since": at(0.001)}, False),
        ({"until": at(0.001)}, True),
        ({"until": NOW}, False),
        ({"metadata": ("campaign", None)}, True),
        ({"metadata": ("campaign", "spring")}, True),
        ({"metadata": ("campaign", "")}, False),
        ({"metadata": ("region", None)}, False),
        ({"user": "Ann", "outcomes": {Outcome.FAILED}}, False),
    ],
)
def test_each_condition_must_hold(condition: dict[str, Any], matches: bool) -> None:
    assert SessionFilter(**condition).matches(state()) is matches


def test_a_running_session_has_no_outcome() -> None:
    assert not SessionFilter(outcomes=frozenset(Outcome)).matches(state(is_ended=False))


@pytest.mark.parametrize(("text", "condition"), [("a", ("a", None)), ("a:", ("a", "")), ("a:b:c", ("a", "b:c"))])
def test_a_metadata_condition_is_a_key_with_or_without_a_value(text: str, condition: tuple[str, str | None]) -> None:
    assert metadata_condition(text) == condition


@given(st.from_regex(CURSOR_PATTERN.replace("$", r"\Z"), fullmatch=True))
def test_a_cursor_is_read_back(text: str) -> None:
    found = parse_cursor(text)

    assert parse_cursor(str(found)) == found
    assert str(Cursor(1, "session_a-b")) == "1-session_a-b"
