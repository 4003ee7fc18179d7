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
        ("<thought>Hm.</thought>They booked.", "They booked."),
        ("<thoughts>Hm.</thoughts>They booked.", "They booked."),
        ("<reasoning>Hm.</reasoning>They booked.", "They booked."),
        ("<reflection>Hm.</reflection>They booked.", "They booked."),
        ("<seed:think>Hm.</seed:think>They booked.", "They booked."),
        ("[THINK]Hm.[/THINK]They booked.", "They booked."),
        ("They booked. [THINK]Hm, what", "They booked."),
        ("", ""),
    ],
)
def test_thoughts_are_left_out(text: str, left: str) -> None:
    assert without_thoughts(text) == left
