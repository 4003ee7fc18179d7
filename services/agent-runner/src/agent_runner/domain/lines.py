"""What the agent says by itself in one call: the table's line of the call's language, or what a setting says instead.

Get them from `AgentConfig.lines_in(language)`.
"""

from collections.abc import Mapping
from dataclasses import replace

from contracts.languages import base
from contracts.lines import Lines, Replaced, lines_in

__all__ = ["Lines", "lines_of"]


def lines_of(language: str | None, by_language: Replaced, by_name: Mapping[str, str | None]) -> Lines:
    """The lines of a call.

    Args:
        language: The session's; None: none was named, and the agent speaks English.
        by_language: LINES; it wins, since it names the language.
        by_name: The settings of single lines, such as APOLOGY, which hold in every language; None: unset.
    """
    named = {*by_language.get(base(language or "en"), {}), *by_language.get(language or "en", {})}
    everywhere = {name: text for name, text in by_name.items() if text is not None and name not in named}
    return replace(lines_in(language, by_language), **everywhere)
