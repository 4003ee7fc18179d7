"""The language of a session, as a BCP 47 tag."""

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

_SHAPE: Final = r"[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?"


def _canonical(tag: str) -> str:
    """`zh-Hans-CN` for `ZH-hans-cn`: equal languages compare equal, in the log and as a part of a cache's key."""
    language, *rest = tag.split("-")
    return "-".join([language.lower(), *(part.title() if len(part) == 4 else part.upper() for part in rest)])


def _refuse_with_the_fix(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_SHAPE, value):
        raise ValueError('send a BCP 47 tag of a language, perhaps with script and region, such as "de" or "pt-BR"')
    return value


Language = Annotated[
    str,
    StringConstraints(min_length=2, max_length=12, pattern=f"^{_SHAPE}$"),
    BeforeValidator(_refuse_with_the_fix),
    AfterValidator(_canonical),
    Field(examples=["de", "pt-BR"]),
]
"""language[-Script][-REGION] of BCP 47; variants and extensions are refused."""


def base(language: str) -> str:
    """The language without its script and region: `pt` of `pt-BR`."""
    return language.split("-", 1)[0].lower()


def lookup(language: str) -> tuple[str, ...]:
    """Where to look for what a language has, most specific first: `zh-Hant-TW`, `zh-Hant`, `zh` (RFC 4647)."""
    parts = language.split("-")
    return tuple("-".join(parts[:size]) for size in range(len(parts), 0, -1))
