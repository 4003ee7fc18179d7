"""What an agent that ends the call still has to say. Pure."""

from typing import Final

from agent_runner.domain.caller_words import units_of
from agent_runner.domain.delivery import has_words

_SAID: Final = 0.5  # share of the goodbye's words


def last_words(said: str, goodbye: str) -> str | None:
    """The goodbye to say; None: the answer was one; empty: the model gave none.

    A model that answers and gives a goodbye often says the same twice, in other words.

    Args:
        said: What the caller has heard of the answer that ends the call.
        goodbye: The model's last words.
    """
    if not has_words(goodbye):
        return None if has_words(said) else ""
    words, heard = units_of(goodbye), set(units_of(said))
    return None if sum(word in heard for word in words) > _SAID * len(words) else goodbye
