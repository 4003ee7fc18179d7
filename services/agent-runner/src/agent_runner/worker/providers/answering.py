"""What is known of the newest answer of the language model, over all attempts to get it."""

from agent_runner.domain.answer import Answer
from agent_runner.domain.speakable import Speakable

CUT_BY_LIMIT = "length"
"""The server's reason for an answer that the token limit cut."""


class Answering:
    """One answer, and the attempts to get it.

    Attributes:
        text: Its text before the voice.
        asked_at: When the context was sent, in monotonic seconds.
        finish: Why the newest attempt ended: the server's reason, or CANCELLED by an interruption; empty: it has not.
        has_ended: No attempt follows.
        has_begun: The newest attempt had text or a tool's call. If it then fails, it broke off.
    """

    def __init__(self, text: Answer, asked_at: float = 0.0) -> None:
        self.text = text
        self.asked_at = asked_at
        self.finish = ""
        self.has_ended = False
        self.has_begun = False
        self._said = ""

    @property
    def is_cut(self) -> bool:
        return self.finish == CUT_BY_LIMIT

    def attempt(self, text: Speakable) -> None:
        """Begin the next attempt, whose text is still empty."""
        self.has_begun, self.finish = False, ""
        self.text = self.text.again(text, self._said)

    def feed(self, piece: str) -> str:
        """Add a piece of the model's text; returns what to speak now."""
        return self._ready(*self.text.fed(piece))

    def end_text(self) -> str:
        """End the attempt's text; returns the rest to speak."""
        return self._ready(*self.text.ended(is_cut=self.is_cut))

    def tool_called(self) -> None:
        """A tool is called: what repeats an earlier attempt is not spoken again."""
        self.has_begun = True
        if self.text.repeats:
            self.text, _ = self.text.ended()

    def attempts_ended(self) -> None:
        """No attempt follows; text of an attempt before the last one counts as begun, too."""
        self.has_ended = True
        self.has_begun = self.has_begun or bool(self._said)

    def _ready(self, text: Answer, ready: str) -> str:
        self.text = text
        # An answer of a smiley alone is an answer; one of white space, or of thoughts alone, is not.
        self.has_begun = self.has_begun or (text.had_text and not text.repeats)
        self._said += ready
        return ready
