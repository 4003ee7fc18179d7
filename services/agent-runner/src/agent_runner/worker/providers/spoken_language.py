"""The session's language as the providers write it."""

# pyright: standard

import re
from typing import Final

from pipecat.services.assemblyai.stt import language_to_assemblyai_language
from pipecat.services.inworld.tts import language_to_inworld_language
from pipecat.transcriptions.language import Language

from contracts.languages import base

_HEARD: Final = re.compile(
    "af|ar|ca|da|de|en|es|et|fa|fi|fr|gl|he|hi|it|ja|ko|mr|nl|nn|no|pt|ro|ru|sv|tr|ur|vi|xh|yue|zh|zu"
)
"""The languages that AssemblyAI's Universal-3 models can be pinned to."""

_VOICED: Final = frozenset(["ar", "de", "en", "es", "fr", "he", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "zh"])


def spoken(tag: str | None) -> Language | None:
    """The language without its region; None if Pipecat does not know it, or no language was named."""
    if tag is None:
        return None
    code = base(tag)
    # Pipecat has some languages only with their region.
    return next((language for language in Language if language.value.split("-")[0] == code), None)


def for_assembly(tag: str | None) -> list[Language] | None:
    """`language_codes`, which pin Universal-3 models to the language; None: AssemblyAI detects it.

    Other models have no such parameter, and Pipecat then sends none. A language that AssemblyAI does not list is left
    to its detection: the connection would be refused.
    """
    language = spoken(tag)
    if language is Language.NB:
        language = Language.NO
    if language is None or not _HEARD.fullmatch(language_to_assemblyai_language(language)):
        return None
    return [language]


def for_inworld(tag: str | None) -> str | None:
    """Inworld's `language`, which sets pronunciation and the spelling out of numbers; None: Inworld detects it.

    A language that Inworld does not list is left to its detection: the request would be refused.
    """
    language = spoken(tag)
    return None if language is None or language.value not in _VOICED else language_to_inworld_language(language)
