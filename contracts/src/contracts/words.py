"""Which fields of the log's events hold words and names, and which hold facts.

Words are sealed with a key of the session, which can be erased; facts stay readable for as long as the log keeps them.
docs/decisions/0047-words-stand-apart-from-the-facts.md has the reasons.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from contracts.events import Event, SessionRequested, ToolCalled, TurnFinished

E = TypeVar("E", bound=Event)

_NOTHING: Final[Mapping[type[Event], Mapping[str, Any]]] = {
    SessionRequested: {"user_name": "", "opening_line": "", "system_prompt": "", "metadata": {}, "tools": ()},
    TurnFinished: {"user_text": "", "heard_text": "", "summary": ""},
    ToolCalled: {"arguments": "", "answer": "", "arguments_hash": ""},
}
"""By kind of event the fields with words, with the value that says nothing."""


def words_of(event: Event) -> dict[str, Any]:
    """The event's words by field, as JSON values; empty for an event that has none."""
    nothing = _NOTHING.get(type(event), {})
    return event.model_dump(mode="json", include={name for name in nothing if getattr(event, name) != nothing[name]})


def without_words(event: E, *, sealed: str = "") -> E:
    """The event with its facts only.

    Args:
        sealed: Its words, encrypted.
    """
    nothing = _NOTHING.get(type(event))
    return event if nothing is None else event.model_copy(update={**nothing, "sealed": sealed})


def with_words(event: E, words: Mapping[str, Any]) -> E:
    """The event with these words, as `words_of` gave them; other fields of the mapping are ignored.

    Raises:
        pydantic.ValidationError: The words do not have the fields' shapes.
    """
    known = {name: words[name] for name in _NOTHING.get(type(event), {}) if name in words}
    return type(event).model_validate({**event.model_dump(mode="json"), **known, "sealed": ""})
