"""What the agent says by itself in one call: the table's line of the call's language, or what a setting says instead.

Get them from `AgentConfig.lines_in(language)`.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace

from agent_runner.domain.speakable import is_speakable, speakable
from contracts.languages import lookup
from contracts.lines import Lines, Replaced, lines_in

__all__ = ["Lines", "lines_of", "name_of", "opening_of"]


def lines_of(language: str | None, by_language: Replaced, by_name: Mapping[str, str | None]) -> Lines:
    """The lines of a call, without the markup of the settings, which a voice would read aloud.

    Args:
        language: The session's; None: none was named, and the agent speaks English.
        by_language: LINES; it wins, since it names the language.
        by_name: The settings of single lines, such as APOLOGY, which hold in every language; None: unset.
    """
    named = {name for tag in lookup(language or "en") for name in by_language.get(tag, {})}
    everywhere = {name: text for name, text in by_name.items() if text is not None and name not in named}
    lines, table = replace(lines_in(language, by_language), **everywhere), asdict(lines_in(language))
    return replace(lines, **{name: speakable(text) for name, text in asdict(lines).items() if text != table[name]})


def opening_of(asked: str, *, default: str, user_name: str) -> str:
    """The opening line to say.

    Args:
        asked: The session's. Without a word that can be spoken, such as "[happy]", "~~Hello~~" or an address, it would
            leave the caller in silence: then the default is said.
        default: The language's; `{name}` stands for the user's name.
    """
    return asked if is_speakable(asked) else default.replace("{name}", user_name)


def name_of(heard: str, lines: Lines, *, is_whole: bool) -> str:
    """Which line the agent has said by itself: its name, or "line" if it is none of the table.

    Args:
        heard: What the caller heard of it; a voice may have changed its signs and spaces.
        is_whole: False: only a beginning, which may be that of several lines.
    """
    said = _spoken(heard)
    texts = {name: _spoken(text) for name, text in asdict(lines).items()}
    found = {name: text for name, text in texts.items() if text == said or (text.startswith(said) and not is_whole)}
    return next(iter(found)) if said and len({*found.values()}) == 1 else "line"


def _spoken(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
