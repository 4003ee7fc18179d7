"""What of a long call stays in the model's context."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.context_budget import LONGEST_RESULT, SUMMARY, shrunk, smaller, tokens, within


def said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


MESSAGES = st.lists(
    st.builds(said, st.sampled_from(["user", "assistant", "tool", "developer"]), st.text(max_size=3000)), max_size=12
)
CALL = [
    said("user", "Find me."),
    {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]},
    said("tool", "x" * 16_000),
]


@pytest.mark.parametrize(
    ("text", "most_characters"),
    [("What time is it? ", 4), ("Который час? ", 2), ("अभी कितने बजे हैं? ", 2), ("现在几点了？", 1)],
)
def test_the_estimate_knows_that_other_scripts_take_more_tokens(text: str, most_characters: int) -> None:
    count = tokens([said("user", text * 100)])
    assert len(text * 100) / most_characters * 0.75 < count <= len(text * 100) / most_characters + 10


def test_a_result_shrinks_after_the_turn_that_used_it() -> None:
    assert shrunk(CALL) == CALL
    later = shrunk([*CALL, said("assistant", "Here."), said("user", "y" * 9000)])
    assert LONGEST_RESULT < len(later[2]["content"]) < LONGEST_RESULT + 100
    assert later[4]["content"] == "y" * 9000
    assert len(shrunk(CALL, and_newest=True)[2]["content"]) < LONGEST_RESULT + 100


@pytest.mark.parametrize(
    "later",
    [
        pytest.param([], id="the caller speaks while the result comes"),
        pytest.param([said("assistant", "")], id="an answer of which nothing was heard"),
        pytest.param([{"role": "assistant", "content": "", "tool_calls": [{"id": "2"}]}], id="another call"),
    ],
)
def test_a_result_stays_whole_until_something_was_said_after_it(later: list[dict[str, Any]]) -> None:
    messages = [*CALL, *later, said("user", "Hello?"), said("assistant", "Yes?")]
    assert shrunk(messages) == messages


def test_a_result_that_was_not_answered_from_stays_whole_whatever_line_follows() -> None:
    messages = [*CALL, said("assistant", "Sorry, I didn't get that."), said("user", "Hello?")]
    assert shrunk(messages, {"x" * 16_000}) == messages
    assert shrunk(messages) != messages


@given(MESSAGES)
def test_shrinking_twice_is_shrinking_once(messages: list[dict[str, Any]]) -> None:
    assert shrunk(shrunk(messages)) == shrunk(messages)
    assert [message["role"] for message in shrunk(messages)] == [message["role"] for message in messages]


@given(MESSAGES, st.integers(0, 3000))
def test_the_newest_turns_that_fit_are_kept(messages: list[dict[str, Any]], most: int) -> None:
    kept = within(messages, most)
    assert kept == messages[len(messages) - len(kept) :]
    questions = [at for at, message in enumerate(messages) if message["role"] == "user"]
    if kept != messages:
        assert kept[0]["role"] == "user"  # no tool's result without its call
        assert tokens(kept) <= most or len(kept) == len(messages) - questions[-1]


def test_a_summary_stays_at_the_start() -> None:
    summary = said("user", SUMMARY + "He is Bob.")
    old = [said("user", "a" * 4000), said("assistant", "b" * 4000)]
    assert within([summary, *old, said("user", "And now?")], 200) == [summary, said("user", "And now?")]


@given(MESSAGES, st.sampled_from([0, 100, 4_000]))
def test_what_is_refused_gets_smaller_until_only_the_turn_in_progress_is_left(
    messages: list[dict[str, Any]], budget: int
) -> None:
    left: list[Any] = messages
    for _ in range(20):
        kept = smaller(left, budget)
        if kept is None:
            break
        assert tokens(kept) < tokens(left)
        left = kept
    assert smaller(left, budget) is None
    questions = [message for message in left if message["role"] == "user"]
    assert len(questions) <= 1 or not tokens(left)
