"""Which scripts put no space between words. Pure."""

from typing import Final
from unicodedata import east_asian_width, name

_HANGUL: Final = "HANGUL"


def is_unspaced(text: str) -> bool:
    """Whether the text has a Chinese character or a Japanese letter; Korean is written with spaces."""
    return any(map(_is_unspaced, text))


def _is_unspaced(character: str) -> bool:
    if not character.isalnum() or east_asian_width(character) not in ("W", "F"):
        return False
    return not name(character, "").startswith(_HANGUL)
