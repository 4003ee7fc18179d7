"""When the words so far are part of a number, a spelling or an address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.dictation import is_dictating


@pytest.mark.parametrize(
    "text",
    [
        "My number is 555-0134",
        "It's five five five,",
        "Meine Nummer ist null eins sieben",
        "C'est le zéro six",
        "It is 41555.",
        "My name is spelled M A R",
        "john dot",
        "my address is john@",
        "my address is john@example",
        "john at gmail",
        "B underscore",
        "番号は〇九〇",
        "電話は 090",
    ],
)
def test_a_pause_in_a_dictation_is_no_end(text: str) -> None:
    assert is_dictating(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "A table for two.",
        "At 10:30.",
        "It costs 1,400.",
        "In 2026.",
        "So do I.",
        "What are you looking at?",
        "It is john@example.com.",
        "john dot smith at example dot com",
        "555 0134, that is my number.",
        "第一",
    ],
)
def test_an_answer_is_no_dictation(text: str) -> None:
    assert not is_dictating(text)


@given(st.text(max_size=200))
def test_any_text_can_be_asked_about(text: str) -> None:
    is_dictating(text)
