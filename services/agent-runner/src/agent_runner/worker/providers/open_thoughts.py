"""Which models begin their answers with thoughts that end with `</think>`, while no `<think>` opens them.

The chat templates of Qwen3-Thinking, QwQ and DeepSeek-R1 put the opening tag into the prompt, so that a server without
a reasoning parser streams only the closing one.
"""

import re
from typing import Final

from agent_runner.domain.speakable import Speakable

FIELDS: Final = ("reasoning_content", "reasoning")
"""Of a delta: the thoughts, where the server has parsed them."""

_BY_NAME: Final = re.compile(r"thinking|qwq|deepseek-r1|(?:^|[/_-])r1\b|qwen-?3\.[5-9]|minimax-m2", re.IGNORECASE)


class OpenThoughts:
    """What the setting, the models' names and their answers so far tell."""

    def __init__(self, is_set: bool | None = None) -> None:
        """Start without an answer.

        Args:
            is_set: The setting; None: the name tells, until an answer does.
        """
        self._is_set = is_set
        self._told: dict[str, bool] = {}

    def expects(self, model: str, *, is_off: bool = False) -> bool:
        """Whether to hold the model's next answer until its thoughts end.

        Args:
            model: Its name.
            is_off: The request has thinking switched off.
        """
        if self._is_set is not None:
            return self._is_set
        if is_off:
            return False
        return self._told.get(model, _BY_NAME.search(model) is not None)

    def learn(self, model: str, answer: Speakable) -> None:
        """Take in an answer, before it is told that it has ended: one that was held in vain had no thoughts."""
        if answer.is_bare or (answer.is_thinking and answer.held.strip()):
            self._told[model] = answer.is_bare
