"""Names of users: any script, without the characters that can forge a line of a log or of a table."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

_BMP: Final = 0xFFFF
_JOINER: Final = r"\u200c\u200d"
_SPACE: Final = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
# Control characters, Unicode's Default_Ignorable_Code_Point without the joiners, and the blank Braille pattern.
_INVISIBLE: Final = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
)
# Invisible characters beyond U+FFFF, which each regex engine writes differently: shorthand, music, tags, variation
# selectors.
_BEYOND: Final = (range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000))
_PICTURE: Final = (
    r"(?:[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299]"
    r"|[^\u0000-\uffff])"
)
_PICTURES_BEYOND: Final = range(0x1F000, 0x1FB00)
_AS_PICTURE: Final = "\ufe0f"

_AROUND: Final = rf"[ \t\n\r{_SPACE}]*"  # spelled out, because \s differs between regex engines

# A joiner shapes Persian and Indic text and emoji; next to ASCII it only makes two different names look equal.
# U+FE0F turns a sign into a picture (a heart); after a letter it is invisible.
_LETTER: Final = rf"(?:{_PICTURE}\ufe0f|[^\x00-\x7f{_SPACE}{_INVISIBLE}{_JOINER}])"
_JOINED: Final = rf"{_LETTER}(?:[{_JOINER}]{_LETTER})*"
NAME_PATTERN: Final = rf"^{_AROUND}(?:[!-~]|{_JOINED})(?:[ -~{_SPACE}]|{_JOINED})*{_AROUND}$"


def _trimmed(name: str) -> str:
    for char, following in zip(name, [*name[1:], ""], strict=True):
        code = ord(char)
        if any(code in invisible for invisible in _BEYOND):
            raise ValueError(f"must hold no invisible characters (U+{code:X})")
        if following == _AS_PICTURE and code > _BMP and code not in _PICTURES_BEYOND:
            raise ValueError("must have U+FE0F only after an emoji")
    return name.strip()


UserName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=NAME_PATTERN),
    AfterValidator(_trimmed),
    Field(
        description="without control, bidirectional-format and invisible characters; ZWJ and ZWNJ only between two "
        "characters outside ASCII, U+FE0F only after an emoji; white space around it is removed"
    ),
]
"""`userName` and `userId` in a request."""

RecordedName = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True)
]
"""A name in a look-up: the log and the ledger may hold names that a start refuses today."""
