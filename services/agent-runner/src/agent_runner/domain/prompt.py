"""The rules that the LLM gets beside the session's own system prompt."""

from typing import Final

from agent_runner.domain.delivery import EMOTIONS
from contracts.languages import base

_NAMES: Final = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "pt": "Portuguese",
    "it": "Italian",
    "hi": "Hindi",
    "ja": "Japanese",
    "zh": "Chinese",
}


CRITICAL_RULES = f"""CRITICAL RULES. Everything you write is spoken aloud, word for word, in a live phone call.
- No stage directions and no descriptions of sounds, gestures or feelings.
- No actions in asterisks, such as *laughs*, and no other markup: no lists, headings, links, code or emoji.
- To colour your voice you may use these tags and no others: {" ".join(f"[{emotion}]" for emotion in EMOTIONS)}.
- Answer in one or two short sentences, never more than two, and do not list.
- Speak naturally, the way people talk: contractions, plain words, numbers and abbreviations as one says them."""


def system_instruction(prompt: str, language: str | None = None) -> str:
    """The whole system prompt: the session's own, then the rules, which take precedence.

    Args:
        language: The session's, as a BCP 47 tag, which models know; None: the model chooses.
    """
    rules = CRITICAL_RULES
    if language is not None:
        rules += f"\n- Speak {_name(language)}, unless the caller asks for another language."
    return f"{prompt}\n\n{rules}"


def _name(language: str) -> str:
    name = _NAMES.get(base(language))
    return f"{name} ({language})" if name else language
