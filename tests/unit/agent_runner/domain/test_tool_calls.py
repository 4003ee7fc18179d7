"""The calls of tools: one key for one request, in every epoch; patience with the ones that take long."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.tool_calls import MOST_OPEN, OWED_S, CallsSoFar, Patience, ToolRequest, canonical, unanswered
from agent_runner.link.messages import ToolCall

_JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(-1e6, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_ARGUMENTS: Any = st.dictionaries(st.text(max_size=5), _JSON, max_size=4)
BOOK = ToolRequest.of("book", {"day": "Friday", "persons": 2})
CANCEL = ToolRequest("cancel", "{}")


@given(_ARGUMENTS)
def test_canonical_arguments_are_the_same_json_and_canonical_again(arguments: dict[str, Any]) -> None:
    text = canonical(arguments)
    assert json.loads(text) == arguments
    assert canonical(json.loads(text)) == text


@given(_ARGUMENTS, st.randoms())
def test_the_order_of_the_names_changes_nothing(arguments: dict[str, Any], random: Any) -> None:
    names = [*arguments]
    random.shuffle(names)
    assert ToolRequest.of("book", {name: arguments[name] for name in names}) == ToolRequest.of("book", arguments)


def test_a_whole_number_is_one_number_however_it_is_written() -> None:
    assert canonical({"n": 2.0, "m": [1.5]}) == canonical({"m": [1.5], "n": 2}) == '{"m":[1.5],"n":2}'


def test_the_key_belongs_to_session_question_name_and_arguments() -> None:
    so_far = CallsSoFar("session_1")
    others = {
        so_far.key_of(BOOK, 2),
        so_far.key_of(ToolRequest("book", "{}"), 1),
        so_far.key_of(ToolRequest("cancel", BOOK.arguments), 1),
        CallsSoFar("session_2").key_of(BOOK, 1),
    }
    assert len(others | {so_far.key_of(BOOK, 1)}) == 5
    assert so_far.key_of(BOOK, 1) == CallsSoFar("session_1").key_of(BOOK, 1)


def test_a_call_without_an_answer_keeps_its_key_until_the_answer_is_known() -> None:
    so_far = CallsSoFar("session_1")
    key = so_far.key_of(BOOK, 1)
    so_far = so_far.started(BOOK, key)
    assert so_far.key_of(BOOK, 2) == key
    so_far, _ = so_far.finished(BOOK, "unknown", "timeout", 1)
    assert so_far.key_of(BOOK, 3) == key
    so_far, _ = so_far.finished(BOOK, "done", "", 3)
    assert so_far.key_of(BOOK, 3) != key
    assert not so_far.open


def test_two_equal_failures_in_a_row_are_told_apart_from_two_others() -> None:
    so_far = CallsSoFar("session_1")
    for outcome, kind, question, is_repeated in (
        ("failed", "404", 1, False),
        ("failed", "409", 1, False),
        ("failed", "409", 2, False),
        ("done", "", 2, False),
        ("unknown", "500", 2, False),
        ("unknown", "500", 2, True),
        ("unknown", "500", 2, False),
    ):
        so_far, found = so_far.finished(BOOK, outcome, kind, question)  # type: ignore[arg-type]
        assert found == is_repeated, (kind, question)


def test_three_failures_for_one_question_are_enough_whatever_they_are() -> None:
    so_far, found = CallsSoFar("session_1"), list[bool]()
    for kind, question in (("500", 1), ("500", 2), ("timeout", 2), ("500", 2)):
        so_far, is_enough = so_far.finished(BOOK, "unknown", kind, question)
        found.append(is_enough)
    assert found == [False, False, False, True]


def test_four_failures_of_one_tool_in_a_row_are_enough_whatever_its_arguments_are() -> None:
    so_far, found = CallsSoFar("session_1"), list[bool]()
    for day, outcome, question in (
        ("Monday", "failed", 1),
        ("Monday", "failed", 2),
        ("Tuesday", "failed", 2),
        ("Wednesday", "done", 2),
        ("Thursday", "failed", 2),
        ("Friday", "unknown", 2),
        ("Saturday", "failed", 2),
        ("Sunday", "failed", 2),
    ):
        so_far, is_enough = so_far.finished(ToolRequest("book", day), outcome, "409", question)  # type: ignore[arg-type]
        so_far, _ = so_far.finished(CANCEL, "done", "", question)
        found.append(is_enough)
    assert found == [False] * 7 + [True]


def test_two_calls_that_fail_in_turn_have_each_a_row_of_their_own() -> None:
    so_far, repeated = CallsSoFar("session_1"), list[tuple[str, bool]]()
    for call in (BOOK, CANCEL, BOOK, CANCEL):
        so_far, found = so_far.finished(call, "unknown", "500", 1)
        repeated.append((call.name, found))
    assert repeated == [("book", False), ("cancel", False), ("book", True), ("cancel", True)]


def test_the_failures_of_an_older_question_are_not_kept() -> None:
    so_far = CallsSoFar("session_1")
    for question in range(1, 50):
        so_far, _ = so_far.finished(ToolRequest("book", str(question)), "failed", "409", question)
    assert len(so_far.failures) == 1


def told(n: int, outcome: str = "", call: ToolRequest = BOOK) -> ToolCall:
    return ToolCall(n=n, turn=1, name=call.name, key=f"key {n}", arguments=call.arguments, outcome=outcome)


def test_a_successor_knows_the_keys_of_the_calls_that_may_have_taken_effect() -> None:
    assert unanswered([told(1)]) == {BOOK.hash: "key 1"}
    assert unanswered([told(1), told(1, "done"), told(2, "unknown", CANCEL)]) == {CANCEL.hash: "key 2"}
    many = [told(n, call=ToolRequest("book", str(n))) for n in range(3 * MOST_OPEN)]
    assert [*unanswered(many).values()] == [f"key {n}" for n in range(2 * MOST_OPEN, 3 * MOST_OPEN)]


def test_a_filler_comes_after_so_much_silence_and_then_less_often() -> None:
    patience = Patience(1.5)
    looked = {now: patience.look(now, is_running=True, is_owed=False, is_free=now != 1.0) for now in _steps(0, 20)}
    assert [now for now, due in looked.items() if due] == [2.75, 5.75, 11.75, 17.75]
    assert set(looked.values()) == {None, "fill"}


def test_no_filler_when_it_is_off_and_none_without_a_tool() -> None:
    for patience, is_running in ((Patience(0), True), (Patience(1.5), False)):
        for now in _steps(0, 20):
            assert patience.look(now, is_running=is_running, is_owed=False, is_free=True) is None


def test_a_result_that_started_no_answer_is_asked_about_in_the_end() -> None:
    patience = Patience(1.5)
    due = {now: patience.look(now, is_running=False, is_owed=True, is_free=True) for now in _steps(0, OWED_S)}
    assert [now for now, what in due.items() if what] == [OWED_S]


def _steps(first: float, last: float) -> list[float]:
    return [first + n / 4 for n in range(round((last - first) * 4) + 1)]
