"""Which of the caller's words ask for the floor, and which only say that the caller listens. Pure."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

BACKCHANNELS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "en": (
            *("mhm", "mm", "mmm", "mmhm", "hm", "hmm", "um", "uh", "uh-huh", "mm-hmm", "mm hmm", "ah", "aha", "oh"),
            *("ok", "okay", "yeah", "yep", "yes", "right", "sure", "cool", "great", "nice", "wow", "i see", "got it"),
            *("all right", "alright", "go on", "makes sense"),
        ),
        "de": ("hm", "mhm", "aha", "ach so", "ja", "genau", "okay", "gut", "klar", "richtig", "stimmt", "verstehe"),
        "es": ("ajá", "mhm", "sí", "vale", "claro", "ya", "bueno", "okay", "entiendo", "de acuerdo"),
        "fr": ("mhm", "hm", "oui", "ouais", "d'accord", "ok", "okay", "je vois", "très bien", "voilà", "ah bon"),
        "pt": ("mhm", "hm", "sim", "tá", "tá bom", "certo", "claro", "ok", "okay", "entendi", "pois é"),
        "it": ("mhm", "ehm", "sì", "certo", "va bene", "ok", "okay", "ho capito", "capisco", "giusto", "ah"),
        "hi": ("हाँ", "हां", "जी", "अच्छा", "ठीक है", "हम्म", "सही", "ओके"),
        "ja": ("はい", "ええ", "うん", "うんうん", "なるほど", "そうですね", "へえ", "ああ", "了解"),
        "zh": ("嗯", "嗯嗯", "好", "好的", "是", "是的", "对", "对对", "哦", "明白", "知道了"),
    }
)
"""Language -> what a listener says without asking for the floor, in lower case and without punctuation."""

_LETTER: Final = r"(?:[^\W_]|[\u0900-\u097f])"  # Python counts the vowel signs of Hindi as no letters
_WORD: Final = re.compile(rf"{_LETTER}+(?:['’-]{_LETTER}+)*")
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # scripts that put no space between words


def words_of(text: str) -> list[str]:
    """The text's words in lower case, without punctuation. Chinese and Japanese text stays whole between marks."""
    return [word.replace("’", "'") for word in _WORD.findall(text.lower())]


class Backchannels:
    """The backchannels of one conversation. A phrase may have several words."""

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = {tuple(words_of(phrase)) for phrase in phrases} - {()}
        self._longest = max((len(phrase) for phrase in self._phrases), default=0)

    @classmethod
    def of(cls, language: str, overrides: Mapping[str, tuple[str, ...]]) -> "Backchannels":
        """Those of a language (BCP 47; only its first part counts). An unknown language has the English ones."""
        code = language.lower().partition("-")[0]
        return cls(overrides.get(code) or BACKCHANNELS.get(code) or BACKCHANNELS["en"])

    def asks_for_floor(self, text: str, min_words: int, *, is_final: bool) -> bool:
        """Whether the text has so many words beyond backchannels.

        A Chinese or Japanese word here is what stands between two marks: one is enough.

        Args:
            is_final: False: the last word may be incomplete, and the start of a backchannel is not counted yet.
        """
        rest = self._without(words_of(text))
        if not is_final and rest and self._may_become(rest):
            return False
        return len(rest) >= min_words or any(_UNSPACED.search(word) for word in rest)

    def _without(self, words: list[str]) -> list[str]:
        rest: list[str] = []
        while words:
            lengths = range(min(self._longest, len(words)), 0, -1)
            size = next((n for n in lengths if tuple(words[:n]) in self._phrases), 0)
            if not size:
                rest.append(words[0])
            words = words[max(1, size) :]
        return rest

    def _may_become(self, rest: list[str]) -> bool:
        """Whether the words are the start of a phrase, the last of them perhaps incomplete."""
        return any(
            len(phrase) >= len(rest)
            and list(phrase[: len(rest) - 1]) == rest[:-1]
            and phrase[len(rest) - 1].startswith(rest[-1])
            for phrase in self._phrases
        )
