"""A model's thoughts in a text that nobody hears, such as a summary."""

import re
from typing import Final

_BEFORE_END: Final = re.compile(r".*</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_UNENDED: Final = re.compile(r"<think(?:ing)?>.*", re.DOTALL | re.IGNORECASE)


def without_thoughts(text: str) -> str:
    """The text behind the thoughts; empty when the token limit cut them.

    The opening tag may be missing: the templates of some models write it into the prompt.
    """
    return _UNENDED.sub("", _BEFORE_END.sub("", text)).strip()
