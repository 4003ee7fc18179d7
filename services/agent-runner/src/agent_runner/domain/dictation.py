"""Whether the caller is in the middle of a number, a spelling or an e-mail address, by the words so far. Pure."""

import re
from typing import Final

_LONG_NUMBER: Final = 5  # digits of one token
_RUN: Final = 2  # tokens in a row: "two" is an answer, "two four" is dictation

_DIGITS: Final = """
zero oh one two three four five six seven eight nine double triple
null eins zwei zwo drei vier fünf sechs sieben acht neun
cero uno dos tres cuatro cinco seis siete ocho nueve
zéro un deux trois quatre cinq sept huit neuf
um dois três quatro sete oito nove
due tre quattro cinque sei sette otto
शून्य एक दो तीन चार पांच पाँच छह सात आठ नौ
"""
_JOINTS: Final = """
dot dash hyphen underscore slash plus
punkt bindestrich unterstrich schrägstrich
punto guion guión barra
point tiret ponto hífen trattino
arroba arobase chiocciola klammeraffe
"""
_PARTS: Final = frozenset((_DIGITS + _JOINTS).split())
_JOINED: Final = frozenset(_JOINTS.split())
_HOSTS: Final = frozenset(("gmail", "googlemail", "outlook", "hotmail", "yahoo", "icloud", "proton", "gmx", "aol"))
_AT: Final = frozenset(("at", "ät", "arroba", "arobase", "chiocciola", "klammeraffe"))
_CJK_NUMBER: Final = re.compile(r"[〇零一二三四五六七八九]{3,}$")
_BETWEEN: Final = re.compile(r"[\s‐-―-]+")
_MARKS: Final = ".,!?…;:。、，！？"


def is_dictating(text: str) -> bool:
    """Whether the words so far end inside a dictation, so that a pause there does not end the turn.

    A complete e-mail address is not inside one; whether a number is complete cannot be known.
    """
    tokens = [token for part in _BETWEEN.split(text.casefold()) if (token := part.strip(_MARKS))]
    if not tokens:
        return False
    last = tokens[-1]
    if "@" in last:
        return "." not in last.partition("@")[2]
    if last in _JOINED or (last in _HOSTS and tokens[-2:-1] and tokens[-2] in _AT):
        return True
    run = 0
    while run < len(tokens) and _is_part(tokens[-1 - run]):
        run += 1
    return run >= _RUN or _is_long_number(last)


def _is_part(token: str) -> bool:
    """A group of digits, a digit's name, one spelled letter, or what joins them."""
    return token.isdecimal() or token in _PARTS or (len(token) == 1 and token.isalpha())


def _is_long_number(token: str) -> bool:
    """One token that is more than a price, a year or a time: an area code begins with a zero."""
    is_number = token.isdecimal() and (len(token) >= _LONG_NUMBER or (token[0] == "0" and len(token) > _RUN))
    return is_number or _CJK_NUMBER.search(token) is not None
