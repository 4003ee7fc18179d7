"""One answer's text before the voice: what can be spoken of it, at most for so many seconds."""

from dataclasses import dataclass, field, replace
from typing import Final
from unicodedata import east_asian_width

from agent_runner.domain.speakable import Speakable

_CHARACTERS_PER_S: Final = 15.0
"""Of alphabetic scripts, at a speaking rate of 1.0."""

_WIDE_PER_S: Final = 5.0
"""Chinese, Japanese and Korean characters."""

_SENTENCE_ENDS: Final = ".!?…।؟"
_WIDE_ENDS: Final = "。！？"  # no space follows them
_CLAUSE_ENDS: Final = ",;:—、，"
_PATIENCE: Final = 1.5
_SLACK: Final = 1.4  # voices are faster than the estimate, too


@dataclass(frozen=True, slots=True)
class Answer:
    """The state of one answer.

    Attributes:
        longest_s: Seconds of speech after which the answer ends with its sentence; a sentence without an end is cut
            at half as much again. 0: no limit.
        speed: The voice's speaking rate.
        said_s: Estimated seconds of speech so far.
        last: The last character so far.
        is_at_limit: The rest of the answer is not spoken.
        repeats: What the attempts before this one have said. The text is then held until the end, without this
            beginning: a model that is asked again begins with the same words.
    """

    longest_s: float
    speed: float = 1.0
    text: Speakable = field(default_factory=Speakable)
    said_s: float = 0.0
    last: str = ""
    is_at_limit: bool = False
    repeats: str = ""
    held: str = ""

    def again(self, text: Speakable, said: str) -> "Answer":
        """The state of the next attempt; what was said counts towards the limit.

        Args:
            text: The attempt's text, still empty.
            said: What the attempts so far have said.
        """
        return replace(self, text=text, repeats=said, held="")

    @property
    def had_text(self) -> bool:
        """The model answered, even if nothing of it can be spoken."""
        return self.text.had_text

    def fed(self, piece: str) -> tuple["Answer", str]:
        """Add a piece of the model's text; returns what to speak now."""
        text, ready = self.text.fed(piece)
        if self.repeats:
            return replace(self, text=text, held=self.held + ready), ""
        return replace(self, text=text)._limited(ready)

    def without_thoughts(self) -> "Answer":
        """The server sends the model's thoughts apart."""
        return replace(self, text=self.text.without_thoughts())

    def ended(self, *, is_cut: bool = False) -> tuple["Answer", str]:
        text, ready = self.text.ended(is_cut=is_cut)
        left = replace(self, text=text, repeats="", held="")
        if not self.repeats:
            return left._limited(ready)
        new = _behind(self.repeats, self.held + ready).lstrip()
        return left._limited(" " + new if new else "")

    def _limited(self, ready: str) -> tuple["Answer", str]:
        if self.is_at_limit or not self.longest_s:
            return self, "" if self.is_at_limit else ready
        said_s, last = self.said_s, self.last
        for at, character in enumerate(ready):
            if self._is_end(said_s, last, character):
                return replace(self, said_s=said_s, is_at_limit=True), ready[:at]
            said_s += _seconds(character, self.speed)
            last = character
        return replace(self, said_s=said_s, last=last), ready

    def _is_end(self, said_s: float, last: str, character: str) -> bool:
        """Whether to end between these two characters."""
        if said_s < self.longest_s or not last:
            return False
        is_sentence = last in _WIDE_ENDS or (character.isspace() and last in _SENTENCE_ENDS)
        return is_sentence or (character.isspace() and said_s >= self.longest_s * _PATIENCE)


def _behind(beginning: str, text: str) -> str:
    """The text without this beginning, compared without case and spaces; all of it if it begins with other words."""
    wanted, at = "".join(beginning.split()).casefold(), 0
    while wanted and at < len(text):
        found = text[at].strip().casefold()
        if not wanted.startswith(found):
            return text
        wanted, at = wanted.removeprefix(found), at + 1
    if at == len(text) or east_asian_width(text[at - 1]) in "WF":
        return text[at:]
    is_inside_a_word = text[at - 1].isalnum() and text[at].isalnum()
    return text if is_inside_a_word else text[at:]


def _seconds(character: str, speed: float) -> float:
    return 1 / speed / (_WIDE_PER_S if east_asian_width(character) in "WF" else _CHARACTERS_PER_S)


def fitting(text: str, longest_s: float, speed: float = 1.0) -> str:
    """What of a text to say in this time: all of it unless it is clearly longer, else its whole sentences that fit.

    Sentences that fill less than half of the time are not enough, such as an abbreviation with its full stop; then the
    words that fit are said.
    """
    ends_s, said_s = list[float](), 0.0
    for character in text:
        said_s += _seconds(character, speed)
        ends_s.append(said_s)
    if said_s <= longest_s * _SLACK:
        return text
    words = sentences = 0
    for at, character in enumerate(text):
        if ends_s[at] > longest_s:
            if sentences and ends_s[sentences - 1] >= longest_s / 2:
                return text[:sentences]
            return text[:words].rstrip(_CLAUSE_ENDS + " ") or text[:at]
        is_last = text[at + 1 : at + 2].strip() == ""
        if character in _WIDE_ENDS or (character in _SENTENCE_ENDS and is_last):
            sentences = at + 1
        if is_last:
            words = at + 1
    return text


def up_to_a_sentence(text: str, *, is_alone: bool) -> str:
    """The whole sentences of a text that the token limit has cut.

    Args:
        text: The last part of an answer.
        is_alone: Nothing of the answer has been spoken: then a clause will do, or the text without its last word.
    """
    text = text.rstrip()
    end = max((text.rfind(mark) for mark in (*_SENTENCE_ENDS, *_WIDE_ENDS)), default=-1)
    if end >= 0 and text[end : end + 2].rstrip() == text[end]:
        return text[: end + 1]
    if not is_alone:
        return ""
    clause = max(text.rfind(mark) for mark in _CLAUSE_ENDS)
    return (text[:clause] if clause > 0 else text.rpartition(" ")[0]).rstrip() + "." if text else ""
