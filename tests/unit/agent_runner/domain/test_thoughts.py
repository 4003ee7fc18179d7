"""What stays of a text whose model thought aloud."""

import pytest

from agent_runner.domain.thoughts import without_thoughts


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("They booked a table.", "They booked a table."),
        ("<think>\nHm.\n</think>\n\nThey booked a table.", "They booked a table."),
        ("<Thinking>Hm.</Thinking>They booked.", "They booked."),
        ("Hm, what was it?</think>They booked.", "They booked."),
        ("<think>Hm, <think>again</think></think>They booked.", "They booked."),
        ("<think>Hm, what was", ""),
        ("<think></think>", ""),
        ("", ""),
    ],
)
def test_thoughts_are_left_out(text: str, left: str) -> None:
    assert without_thoughts(text) == left
