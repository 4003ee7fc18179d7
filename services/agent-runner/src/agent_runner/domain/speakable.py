"""What of a language model's text can be spoken: the words and the six emotion tags, without markup.

The text arrives in pieces of any size, so a construct (a link, a tag, `<think>`) is held until it is complete.
"""

import re
from dataclasses import dataclass, replace
from typing import Final
from unicodedata import combining

from agent_runner.domain.delivery import has_words
from agent_runner.domain.hidden_text import LONGEST_CLOSE, THINK, THOUGHT
from agent_runner.domain.markup import CONSTRUCTS, Said, Taken

_SENTENCE_ENDS: Final = ".!?:;,…。！？।؟)\"'"
_BREAKS: Final = ".!?…。！？।؟]"  # behind them a sentence begins
_PART_ENDS: Final = ",;:–—-、，；："
_ENTRY_NUMBER: Final = re.compile(r"\d{1,3}[.)]?")
_LONGEST_NUMBER: Final = 5
_EMOJI: Final = re.compile(
    "[\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe00-\ufe0f\u20e3"
    "\U0001f000-\U0001faff\U000e0000-\U000e007f\u200b\u2060\ufeff\u00ad]"
)
_JOINER: Final = "\u200d"  # joins emoji, and consonants of Hindi after a virama
_VIRAMA: Final = 9  # its combining class
_LEAD: Final = re.compile(r"[#>\-+*•|=_ \t]*")
_MARKER: Final = re.compile(r"[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-+*•][ \t]+)+")
_RULE: Final = re.compile(r"[ \t]*([-*_=|])[-*_=| \t]{2,}$")


@dataclass(frozen=True, slots=True)
class Speakable:
    """The state of one answer's text. `fed` and `ended` return the next state and the text that is ready.

    Attributes:
        held: Text that may be the beginning of a construct.
        last: The last character that was said; empty before the first.
        word: The last word that was said, its first characters.
        gap: White space since then; it is written before the next word.
        is_line_start: Nothing of this line has been said.
        is_item: This line is a heading or an entry of a list, which ends like a sentence.
        is_marked: Nothing of this line has been said but the marker of a heading or an entry.
        had_text: Anything but thoughts and written calls of tools came, whether or not it can be spoken.
        is_thinking: The answer begins with thoughts that no tag opens: text is held until a tag closes them.
        is_bare: A tag closed thoughts that none had opened.
    """

    held: str = ""
    last: str = ""
    word: str = ""
    gap: str = ""
    is_line_start: bool = True
    is_item: bool = False
    is_marked: bool = False
    had_text: bool = False
    is_thinking: bool = False
    is_bare: bool = False

    def fed(self, piece: str) -> tuple["Speakable", str]:
        """Add the next piece of the model's text."""
        text = self.held + piece
        if not self.is_thinking:
            return _Scan(self, text, is_end=False).run()
        closed = THOUGHT.search(text, max(0, len(self.held) - LONGEST_CLOSE))
        if closed is None:
            return replace(self, held=text), ""
        told = replace(self, is_thinking=False, held="")
        if THINK.search(text, 0, closed.start()):
            return _Scan(told, text, is_end=False).run()
        return _Scan(replace(told, is_bare=True), text[closed.end() :], is_end=False).run()

    def ended(self, *, is_cut: bool = False) -> tuple["Speakable", str]:
        """The answer is complete: what is held is text, save unfinished thoughts, a tool's call or a code block.

        Args:
            is_cut: The token limit ended the answer, amid its thoughts if they have not ended.
        """
        if self.is_thinking and is_cut:
            return replace(self, held=""), ""
        return _Scan(replace(self, is_thinking=False), self.held, is_end=True).run()

    def without_thoughts(self) -> "Speakable":
        """The server sends the thoughts apart: no text is held for them."""
        return replace(self, is_thinking=False)


def speakable(text: str) -> str:
    """A whole text as it can be spoken; empty when it has nothing to say."""
    state, first = Speakable(is_thinking=True).fed(text)
    return first + state.ended()[1]


def is_speakable(text: str) -> bool:
    """Whether anything of a text with markup can be spoken."""
    return has_words(speakable(text))


class _Scan:
    """One pass over the held text and a new piece."""

    def __init__(self, state: Speakable, text: str, *, is_end: bool) -> None:
        self._state = state
        self._text = text
        self._is_end = is_end
        self._at: int = 0
        self._out: list[str] = []

    def run(self) -> tuple[Speakable, str]:
        while self._at < len(self._text):
            if not (self._line_start() if self._state.is_line_start else self._step()):
                break
        return replace(self._state, held=self._text[self._at :]), "".join(self._out)

    def _line_start(self) -> bool:
        """Take out a heading's, quotation's or list's marker; False when more text is needed."""
        lead = _LEAD.match(self._text, self._at)
        assert lead is not None
        end = lead.end()
        if end == len(self._text) and not self._is_end and lead.group():
            return False
        is_line = end == len(self._text) or self._text[end] == "\n"
        if is_line and _RULE.match(lead.group()):
            self._at = end
            self._note(is_item=True)
        elif marker := _MARKER.match(lead.group()):
            self._at += marker.end()
            self._note(is_item=True, is_marked=True)
        else:
            is_number = self._text[self._at].isdecimal()
            self._note(is_item=self._state.is_item or is_number, is_marked=is_number)
        return True

    def _note(self, *, is_item: bool, is_marked: bool = False) -> None:
        self._state = replace(self._state, is_line_start=False, is_item=is_item, is_marked=is_marked)

    def _step(self) -> bool:
        """Take the next construct or character; False when more text is needed."""
        character = self._text[self._at]
        if (construct := CONSTRUCTS.get(character)) is not None:
            taken = construct(self._text[self._at :], self._is_end, self._said())
            if taken is not None and not taken.length:
                return False
            if taken is not None:
                self._take(taken)
                return True
        self._say(self._plain(character))
        self._at += 1
        return True

    def _take(self, taken: Taken) -> None:
        after = self._at + taken.length
        if THOUGHT.match(self._text, self._at):
            self._state = replace(self._state, is_bare=True)
        elif not taken.is_hidden:
            self._state = replace(self._state, had_text=True)
        if taken.again:
            self._text, self._at = taken.said + self._text[after:], 0
        else:
            self._say(taken.said)
            self._at = after

    def _said(self) -> Said:
        state = self._state
        is_between = not state.is_marked and (not state.last or state.last in _BREAKS)
        is_set_off = is_between or (not state.is_marked and state.last in _PART_ENDS)
        return Said(state.gap[-1:] or state.last, is_between, is_set_off)

    def _plain(self, character: str) -> str:
        """What is said for one character."""
        if not character.isspace():
            self._state = replace(self._state, had_text=True)
        if character == _JOINER and combining(self._said().before or " ") != _VIRAMA:
            return ""
        if character in "`|[]【】〔〕［］" or _EMOJI.match(character):
            return " " if character == "|" else ""
        if character == "_":
            follows = self._text[self._at + 1 : self._at + 2]
            return character if self._said().before.isalnum() and follows.isalnum() else ""
        if character == "*":
            follows = self._text[self._at + 1 : self._at + 2]
            is_content = (self._said().before.isspace() and follows.isspace()) or (
                self._said().before.isdecimal() and follows.isdecimal()
            )
            return character if is_content else ""
        return character

    def _say(self, text: str) -> None:
        state = self._state
        last, word, gap = state.last, state.word, state.gap
        is_marked = state.is_marked
        is_line_start, is_item = state.is_line_start, state.is_item
        for character in text:
            if character.isspace():
                gap += character
                if character == "\n":
                    is_line_start = True
                continue
            if gap and last:
                if "\n" in gap and last not in _SENTENCE_ENDS and (is_item or gap.count("\n") > 1):
                    self._out.append(".")
                if character not in ".,!?;:…।॥" or "\n" in gap:
                    self._out.append("\n" if "\n" in gap else " ")
                is_item = is_item and "\n" not in gap
            self._out.append(character)
            word = (character if gap else word + character)[:_LONGEST_NUMBER]
            last, gap = character, ""
            is_marked = is_marked and _ENTRY_NUMBER.fullmatch(word) is not None
        self._state = replace(
            state, last=last, word=word, gap=gap, is_line_start=is_line_start, is_item=is_item, is_marked=is_marked
        )
