"""What the voice has to say: texts cut to its limit, and the texts that it left out. Pure."""

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

LONGEST: Final = 1_000
"""Characters of one message that Inworld takes; it refuses a longer one as a whole."""

SHORT: Final = 120
"""Characters of each piece of a text that was refused, or completed without audio."""

_TAG: Final = re.compile(r"\[[^\]]*\]|<[^>]*>")
_PLACES: Final = (  # where to cut, best first
    re.compile(r"[.!?…][\"'”’)\]]*\s+|[。！？।]+\s*"),
    re.compile(r"[,;:–—]\s+|[、，；：]\s*"),
    re.compile(r"\s+"),
)

Remedy: TypeAlias = Literal["again", "shorter", "move", "fail"]


def pieces(text: str, longest: int = LONGEST) -> list[str]:
    """Cut a text into pieces of at most `longest` characters: after a sentence, else a clause, else a word."""
    found: list[str] = []
    while len(text) > longest:
        head = text[:longest]
        ends = ([match.end() for match in place.finditer(head)] for place in _PLACES)
        at = next((end[-1] for end in ends if end), longest)
        found.append(text[:at])
        text = text[at:]
    return [*found, text] if text else found


def unsaid(texts: Sequence[str], words: str) -> list[str]:
    """The last texts without a reported word; empty unless the words are exactly those of the texts before them.

    Args:
        texts: What the voice was asked to say, in order.
        words: The words that it reported, in order; empty for a voice that reports none.
    """
    left = letters(words)
    if not left:
        return []
    for n, text in enumerate(texts):
        if not left:
            return [*texts[n:]] if letters("".join(texts[n:])) else []
        own = letters(text)
        if not left.startswith(own):
            return []
        left = left[len(own) :]
    return []


def letters(text: str) -> str:
    """The letters and digits of a text, without those of tags, which the voice does not report as words."""
    return "".join(character for character in _TAG.sub("", text).casefold() if character.isalnum())


def remedy(tries: int, *, has_spare: bool, has_audio: bool) -> Remedy:
    """What to do about a text that was refused or that completed without audio.

    Args:
        tries: How often this endpoint was asked for it.
        has_spare: Another endpoint is left.
        has_audio: The texts before it were heard; a move to another endpoint would lose the rest of their audio.
    """
    if tries == 1:
        return "again"
    if tries == 2:
        return "shorter"
    return "move" if has_spare and not has_audio else "fail"
