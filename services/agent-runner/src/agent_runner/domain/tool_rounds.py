"""How often the model may call tools for one utterance of the caller."""

from collections.abc import Sequence
from typing import Any, Final

from agent_runner.domain.context_budget import newest_question

MOST_ROUNDS: Final = 8


class Rounds:
    """Counts the rounds of calls for the newest utterance.

    An utterance is told by its message: in a full context each new one drops an old one, and their number stays.
    """

    def __init__(self) -> None:
        self._question: Any = None
        self._count = 0

    def ask(self, messages: Sequence[Any]) -> None:
        """The model is asked with these messages; a summary that has replaced the utterance does not end it."""
        question = newest_question(messages)
        if question is not None and question is not self._question:
            self._question, self._count = question, 0

    def call(self) -> None:
        self._count += 1

    def stop(self) -> None:
        """Refuse the calls of the next rounds, until the caller speaks again."""
        self._count = max(self._count, MOST_ROUNDS)

    @property
    def are_used_up(self) -> bool:
        """Whether to refuse this round's calls and tell the model to answer now."""
        return self._count > MOST_ROUNDS
