"""Which scripts put no space between words. Pure."""

from typing import Final
from unicodedata import category, east_asian_width, name

_HANGUL: Final = "HANGUL"  # Korean is written with spaces
_SYMBOL: Final = "So"  # emoji are as wide as Chinese characters


def is_unspaced(text: str) -> bool:
    """Whether the text has a Chinese character or a Japanese letter; Korean is written with spaces."""
    return any(character.isalnum() and _is_wide(character) for character in text)


def spaced(word: str, before: str) -> str:
    """The word with the space that goes before it.

    A space goes first, unless the word is a mark alone, or one of the two characters that meet is Chinese or Japanese.
    """
    word = word.strip()
    meets_wide = any(map(_is_wide, before.rstrip()[-1:] + word[:1]))
    is_mark = before != "" and not any(map(str.isalnum, word))
    return word if not word or is_mark or meets_wide else f" {word}"


def _is_wide(character: str) -> bool:
    """Whether it is a Chinese or Japanese character, or a mark of theirs."""
    if east_asian_width(character) not in ("W", "F") or category(character) == _SYMBOL:
        return False
    return not name(character, "").startswith(_HANGUL)
