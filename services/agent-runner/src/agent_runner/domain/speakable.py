"""What of a language model's text can be spoken: the words and the six emotion tags, without markup.

The text arrives in pieces of any size, so a construct (a link, a tag, `<think>`) is held until it is complete.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from agent_runner.domain.delivery import TAG

_LONGEST_URL: Final = 2_000
_LONGEST: Final = 300  # characters of a bracket or tag; a longer one is text
_LONGEST_EMPHASIS: Final = 120
_LONGEST_ASIDE: Final = 60

_SENTENCE_ENDS: Final = ".!?:;,…。！？।؟)\"'"
_EMOJI: Final = re.compile(
    "[\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\ufe00-\ufe0f\u20e3"
    "\U0001f000-\U0001faff\U000e0000-\U000e007f\u200b\u2060\ufeff\u00ad]"
)
_DIRECTION: Final = re.compile(
    r"(?:soft(?:ly)?|gent(?:le|ly)|warm(?:ly)?|quiet(?:ly)?|nervous(?:ly)?|slight(?:ly)?|a|the|long|short|deep|brief(?:ly)?)?\s*"
    r"(?:laugh|chuckl|giggl|sigh|smil|grin|nod|shrug|wink|paus|gasp|cough|sniff|sob|cries|crying|groan|yawn|whisper|"
    r"breath|inhal|exhal|clear(?:s|ing) (?:\w+ )?throat|hum(?:s|ming)\b|gulp|frown|blush|wav(?:es|ing)\b)",
    re.IGNORECASE,
)
_LEAD: Final = re.compile(r"[#>\-+*•|=_ \t]*")
_MARKER: Final = re.compile(r"[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-+*•][ \t]+)+")
_RULE: Final = re.compile(r"[ \t]*([-*_=|])[-*_=| \t]{2,}$")


class _Taken(NamedTuple):
    """A construct: how many characters it has (0: more text is needed to tell), and what is said instead of it.

    Attributes:
        again: What is said may contain markup itself.
    """

    length: int
    said: str = ""
    again: bool = False


_MORE: Final = _Taken(0)

_THINK: Final = re.compile(r"<(think(?:ing)?)>", re.IGNORECASE)
_TAGGED: Final = re.compile(r"</?[A-Za-z!|][^<>]*>")
_BRACKET: Final = re.compile(r"!?\[([^\[\]]*)\]")
_TARGET: Final = re.compile(r"\((?:[^()]|\([^()]*\))*\)")
_EMPHASIS: Final = re.compile(r"(\*+)(?=[^\s*])([^*\n]*[^\s*])\1")
_STRUCK: Final = re.compile(r"~~[^~\n]+~~")
_ASIDE: Final = re.compile(r"\(([^()\n]*)\)")
_ADDRESS: Final = re.compile(r"(?:https?://)?(?:www\.)?([\w.-]*\w)?([^\s)\]>\"]*)", re.IGNORECASE)


def _angle(rest: str, is_end: bool, _said: "_Said") -> _Taken | None:
    """`<think>` with what is in it, and any other tag."""
    if opened := _THINK.match(rest):
        closed = rest.lower().find(f"</{opened[1].lower()}>", opened.end())
        if closed >= 0:
            return _Taken(closed + len(opened[1]) + 3)
        return _Taken(len(rest)) if is_end else _MORE
    if tag := _TAGGED.match(rest):
        return _Taken(tag.end())
    may_open = len(rest) < 3 or re.match(r"</?[A-Za-z!|]", rest)
    return _MORE if may_open and not is_end and len(rest) <= _LONGEST else None


def _code(rest: str, is_end: bool, _said: "_Said") -> _Taken | None:
    """A block of code; the marks of code in a line are dropped as characters."""
    if not rest.startswith("```"):
        return _MORE if "```".startswith(rest) and not is_end else None
    closed = rest.find("```", 3)
    if closed >= 0:
        return _Taken(closed + 3)
    return _Taken(len(rest)) if is_end else _MORE


def _bracket(rest: str, is_end: bool, _said: "_Said") -> _Taken | None:
    """An emotion tag, a link or image with its label, or a stage direction."""
    if rest[0] == "!" and rest[1:2] not in ("", "["):
        return None
    found = _BRACKET.match(rest)
    if found is None:
        is_open = "]" not in rest and len(rest) <= _LONGEST and not is_end
        return _MORE if is_open else None
    if TAG.fullmatch(found.group()):
        return _Taken(found.end(), found.group().lower().replace(" ", ""))
    if target := _TARGET.match(rest, found.end()):
        return _Taken(target.end(), found[1], again=True)
    after = rest[found.end() :]
    may_be_link = after == "" or (after[0] == "(" and len(after) < _LONGEST_URL)
    return _MORE if may_be_link and not is_end else _Taken(found.end())


def _starred(rest: str, is_end: bool, said: "_Said") -> _Taken | None:
    """Emphasis, which stays, or a stage direction: it says so, or it stands between two sentences."""
    if found := _EMPHASIS.match(rest):
        if said.before.isdecimal() and found[2][0].isdecimal():
            return None
        is_direction = _DIRECTION.match(found[2]) or (said.is_between and found[2][0].islower())
        return _Taken(found.end(), "" if is_direction else found[2], again=True)
    inner = rest.lstrip("*")
    is_open = inner == "" or not (inner[0].isspace() or "\n" in inner or "*" in inner.rstrip("*"))
    return _MORE if is_open and len(rest) <= _LONGEST_EMPHASIS and not is_end else None


def _struck(rest: str, is_end: bool, _said: "_Said") -> _Taken | None:
    """Text that the model takes back."""
    if found := _STRUCK.match(rest):
        return _Taken(found.end())
    is_open = rest[1:2] in ("", "~") and len(rest) <= _LONGEST_EMPHASIS and "\n" not in rest
    return _MORE if is_open and not is_end else None


def _aside(rest: str, is_end: bool, _said: "_Said") -> _Taken | None:
    """A stage direction in round brackets; another remark stays."""
    if found := _ASIDE.match(rest):
        return _Taken(found.end()) if _DIRECTION.match(found[1]) else None
    is_open = len(rest) <= _LONGEST_ASIDE and not re.search(r"[()\n]", rest[1:])
    return _MORE if is_open and not is_end else None


def _address(rest: str, is_end: bool, said: "_Said") -> _Taken | None:
    """A URL: its host is said."""
    lower = rest.lower()
    if lower[0] == "w" and (said.before.isalnum() or said.before in tuple("@.-/")):
        return None
    if not lower.startswith(("https://", "http://", "www.")):
        is_open = any(start.startswith(lower) for start in ("https://", "http://", "www."))
        return _MORE if is_open and not is_end else None
    found = _ADDRESS.match(rest)
    assert found is not None
    if found.end() == len(rest) and not is_end and len(rest) < _LONGEST_URL:
        return _MORE
    return _Taken(found.end(), (found[1] or "") + (found[2][-1] if found[2][-1:] in tuple(".!?,;:") else ""))


_CONSTRUCTS: Final[dict[str, Callable[[str, bool, "_Said"], _Taken | None]]] = {
    "<": _angle,
    "`": _code,
    "[": _bracket,
    "!": _bracket,
    "*": _starred,
    "~": _struck,
    "(": _aside,
    **dict.fromkeys("hHwW", _address),
}


class _Said(NamedTuple):
    """What stands before a construct: the last character, and whether a sentence has ended there."""

    before: str
    is_between: bool


@dataclass(frozen=True, slots=True)
class Speakable:
    """The state of one answer's text. `fed` and `ended` return the next state and the text that is ready.

    Attributes:
        held: Text that may be the beginning of a construct.
        last: The last character that was said; empty before the first.
        gap: White space since then; it is written before the next word.
        is_line_start: Nothing of this line has been said.
        is_item: This line is a heading or an entry of a list, which ends like a sentence.
        had_text: Anything outside `<think>` came, whether or not it can be spoken.
    """

    held: str = ""
    last: str = ""
    gap: str = ""
    is_line_start: bool = True
    is_item: bool = False
    had_text: bool = False

    def fed(self, piece: str) -> tuple["Speakable", str]:
        """Add the next piece of the model's text."""
        return _Scan(self, self.held + piece, is_end=False).run()

    def ended(self) -> tuple["Speakable", str]:
        """The answer is complete: what is held is text, save an unfinished `<think>`, code block or tag."""
        return _Scan(self, self.held, is_end=True).run()


def speakable(text: str) -> str:
    """A whole text as it can be spoken; empty when it has nothing to say."""
    state, first = Speakable().fed(text)
    return first + state.ended()[1]


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
        if end == len(self._text) and not self._is_end and lead.group().strip():
            return False
        is_line = end == len(self._text) or self._text[end] == "\n"
        if is_line and _RULE.match(lead.group()):
            self._at = end
            self._note(is_item=True)
        elif marker := _MARKER.match(lead.group()):
            self._at += marker.end()
            self._note(is_item=True)
        else:
            self._note(is_item=self._state.is_item or self._text[self._at].isdecimal())
        return True

    def _note(self, *, is_item: bool) -> None:
        self._state = replace(self._state, is_line_start=False, is_item=is_item)

    def _step(self) -> bool:
        """Take the next construct or character; False when more text is needed."""
        character = self._text[self._at]
        if (construct := _CONSTRUCTS.get(character)) is not None:
            taken = construct(self._text[self._at :], self._is_end, self._said())
            if taken is _MORE:
                return False
            if taken is not None:
                self._take(taken)
                return True
        elif character in "_*" and self._at + 1 == len(self._text) and not self._is_end:
            return False
        self._say(self._plain(character))
        self._at += 1
        return True

    def _take(self, taken: _Taken) -> None:
        after = self._at + taken.length
        if not _THINK.match(self._text, self._at):
            self._state = replace(self._state, had_text=True)
        if taken.again:
            self._text, self._at = taken.said + self._text[after:], 0
        else:
            self._say(taken.said)
            self._at = after

    def _said(self) -> _Said:
        state = self._state
        return _Said(state.gap[-1:] or state.last, not state.last or state.last in ".!?…。！？।؟]")

    def _plain(self, character: str) -> str:
        """What is said for one character."""
        if not character.isspace():
            self._state = replace(self._state, had_text=True)
        if character in "`|[]" or _EMOJI.match(character):
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
        last, gap = state.last, state.gap
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
                if character not in ".,!?;:…" or "\n" in gap:
                    self._out.append("\n" if "\n" in gap else " ")
                is_item = is_item and "\n" not in gap
            self._out.append(character)
            last, gap = character, ""
        self._state = replace(state, last=last, gap=gap, is_line_start=is_line_start, is_item=is_item)
