"""The names of users: what people are called, without the characters that forge a line of a log or a table."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, StringConstraints

_JOINER: Final = r"\u200c\u200d"
_SPACE: Final = r"\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_INVISIBLE: Final = r"\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_TAGS: Final = range(0xE0000, 0xE0080)

_AROUND: Final = rf"[ \t\n\r{_SPACE}]*"  # spelt out: \s is another set in each engine

# A joiner shapes Persian, Indic and emoji; beside ASCII it only makes two names look like one.
_LETTER: Final = rf"[^\x00-\x7f{_SPACE}{_INVISIBLE}{_JOINER}]"
_JOINED: Final = rf"{_LETTER}(?:[{_JOINER}]{_LETTER})*"
NAME_PATTERN: Final = rf"^{_AROUND}(?:[!-~]|{_JOINED})(?:[ -~{_SPACE}]|{_JOINED})*{_AROUND}$"


def _trimmed(name: str) -> str:
    if any(ord(char) in _TAGS for char in name):
        raise ValueError("must hold no tag characters (U+E0000 to U+E007F)")
    return name.strip()


UserName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=128, pattern=NAME_PATTERN),
    AfterValidator(_trimmed),
    Field(
        description="without control, bidirectional-format, zero-width and tag characters; ZWJ and ZWNJ only between "
        "two characters outside ASCII; white space around it is removed"
    ),
]
"""`userName` and `userId`, as a client may send them."""

RecordedName = Annotated[
    str, StringConstraints(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True)
]
"""A name to look up: one that is refused now may stand in the log and in the ledger."""
