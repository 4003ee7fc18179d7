"""The words and names in events: the only module that reads them for the sessions' pages."""

from dataclasses import dataclass

from contracts.events import SessionRequested
from gateway.domain.accounts import shown_user_id


@dataclass(frozen=True)
class StartWords:
    """What a start says of a person, and what the agent is told."""

    user_name: str
    user_id: str
    opening_line: str | None
    system_prompt: str | None


def start_words(requested: SessionRequested) -> StartWords:
    """The words; of an erased session none, but its `user_id`, which then is the account of its bill."""
    opening, prompt = requested.opening_line or None, requested.system_prompt or None
    return StartWords(requested.user_name, shown_user_id(requested), opening, prompt)


def without_prompt(requested: SessionRequested) -> SessionRequested:
    """The request as a summary needs it: prompts may have 32 KB."""
    return requested.model_copy(update={"opening_line": "", "system_prompt": "", "tools": (), "sealed": ""})
