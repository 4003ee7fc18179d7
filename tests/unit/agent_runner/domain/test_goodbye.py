"""What an agent that ends the call still has to say."""

import pytest

from agent_runner.domain.goodbye import last_words


@pytest.mark.parametrize(
    ("said", "goodbye", "words"),
    [
        ("", "Goodbye then.", "Goodbye then."),
        ("", "", ""),
        ("", "…", ""),
        ("Thank you, goodbye!", "", None),
        ("Thank you, goodbye!", "Goodbye!", None),
        ("Have a nice evening, Anna. Goodbye!", "Goodbye, Anna, have a good evening!", None),
        ("Okay.", "Have a nice evening, Anna, goodbye!", "Have a nice evening, Anna, goodbye!"),
        ("好的。", "祝您晚上愉快，再见！", "祝您晚上愉快，再见！"),
        ("祝您愉快，再见！", "再见！", None),
    ],
)
def test_a_goodbye_is_said_unless_the_answer_was_one(said: str, goodbye: str, words: str | None) -> None:
    assert last_words(said, goodbye) == words
