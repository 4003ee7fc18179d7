"""Which of the caller's words ask for the floor, and which only say that the caller listens. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final
from unicodedata import normalize

from agent_runner.domain.spacing import is_unspaced
from contracts.languages import base, lookup

_SOUNDS: Final = (
    *("hm", "mm", "mhm", "mh", "hmhm", "mm-hm", "m-hm", "mh-hm", "uh-huh", "aha", "a-ha", "ah-ha", "ah", "oh"),
    *("ok", "okay"),
)
"""Listeners of every language make these sounds."""

BACKCHANNELS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "en": (
            *(*_SOUNDS, "um", "uh", "yeah", "yep", "yes", "right", "sure", "cool", "great", "nice", "wow", "i see"),
            *("got it", "all right", "alright", "go on", "makes sense"),
        ),
        "de": (*_SOUNDS, "ach so", "ja", "jaja", "genau", "gut", "klar", "richtig", "stimmt", "verstehe"),
        "es": (*_SOUNDS, "ajá", "sí", "vale", "claro", "ya", "bueno", "entiendo", "de acuerdo"),
        "fr": (*_SOUNDS, "hum", "oui", "ouais", "d'accord", "je vois", "très bien", "voilà", "ah bon"),
        "pt": (*_SOUNDS, "uhum", "aham", "sim", "tá", "tá bom", "certo", "claro", "entendi", "pois é"),
        "it": (*_SOUNDS, "ehm", "sì", "certo", "va bene", "ho capito", "capisco", "giusto"),
        "hi": (*_SOUNDS, "हाँ", "हां", "जी", "अच्छा", "ठीक है", "हम्म", "सही", "ओके"),
        "ja": (
            *(
                *_SOUNDS,
                "はい",
                "ええ",
                "うん",
                "ん",
                "なるほど",
                "そうですね",
                "へえ",
                "へー",
                "ああ",
                "あー",
                "ふーん",
            ),
            "了解",
        ),
        "zh": (
            *(*_SOUNDS, "嗯", "嗯哼", "哦", "噢", "喔", "啊", "好", "好的", "是", "是的", "对", "對", "明白"),
            "知道了",
        ),
    }
)
"""Language -> what a listener says without asking for the floor, in lower case and without punctuation."""

_INTERJECTIONS: Final = frozenset(
    (
        *("はい", "ええ", "うん", "ん", "へえ", "へ", "ああ", "あ", "ふん"),
        *("嗯", "嗯哼", "哦", "噢", "喔", "啊"),
        "ok",
        "okay",
    )
)
"""Said in one breath with what follows, as in "嗯好的". Other phrases make sentences together: "好是好"."""

# Python counts the vowel signs of Hindi as no letters; its full stops (U+0964, U+0965) are none.
_LETTER: Final = r"(?:[^\W_]|[\u0900-\u0963\u0971-\u097f])"
_WORD: Final = re.compile(rf"{_LETTER}+(?:['’-]{_LETTER}+)*")
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")  # scripts that put no space between words
_HUM: Final = re.compile(r"(?=.*m)[hm]{2,}")
_RUN: Final = re.compile(r"(.)\1+")
_LONG_RUN: Final = re.compile(r"(.)\1{2,}")  # no language writes three: "yeaaah"
_HINDI_HUM: Final = re.compile(r"हम(?:्म)+")


def words_of(text: str) -> list[str]:
    """The text's words in lower case, without punctuation. Chinese and Japanese text stays whole between marks."""
    return [word.replace("’", "'") for word in _WORD.findall(normalize("NFKC", text).lower())]


def units_of(text: str) -> list[str]:
    """Words, as in `words_of`; of Chinese and Japanese, whose words no space separates, characters."""
    return [unit for word in words_of(text) for unit in (word if is_unspaced(word) else (word,))]


class Backchannels:
    """The backchannels of one conversation. A phrase may have several words.

    A word counts in any length ("hmmm", "yeaaah"), and with or without its hyphens.
    """

    def __init__(self, phrases: Iterable[str]) -> None:
        self._phrases = {_parts(words_of(phrase)) for phrase in phrases} - {()}
        self._longest = max((len(phrase) for phrase in self._phrases), default=0)
        whole = sorted({phrase[0] for phrase in self._phrases if len(phrase) == 1}, key=len, reverse=True)
        sounds = "|".join(re.escape(word) for word in whole if word in _INTERJECTIONS) or r"(?!)"
        repeated = "|".join(map(re.escape, whole)) or r"(?!)"
        self._unspaced = re.compile(rf"(?>(?:{sounds})*)(?:({repeated})\1*)?(?>(?:{sounds})*)")

    @classmethod
    def of(cls, language: str, overrides: Mapping[str, tuple[str, ...]]) -> "Backchannels":
        """Those of a language (BCP 47). An unknown language has the English ones.

        Args:
            overrides: As `lookup` finds them: those of `pt-BR` before those of `pt`; an empty one switches them off.
        """
        own = next((overrides[tag] for tag in lookup(language) if tag in overrides), None)
        return cls(BACKCHANNELS.get(base(language), BACKCHANNELS["en"]) if own is None else own)

    def asks_for_floor(self, text: str, min_words: int, *, is_final: bool) -> bool:
        """Whether the text has so many words beyond backchannels.

        A Chinese or Japanese word here is what stands between two marks: one is enough.

        Args:
            is_final: False: the last word may be incomplete, and the start of a backchannel is not counted yet.
        """
        words = words_of(text)
        rest = self._without(words)
        if not is_final and rest and self._may_become_one(words):
            return False
        return len(rest) >= min_words or any(_UNSPACED.search(word) for word in rest)

    def _without(self, words: list[str]) -> list[str]:
        rest: list[str] = []
        while words:
            lengths = range(min(self._longest, len(words)), 0, -1)
            size = next((n for n in lengths if self._is_phrase(words[:n])), 0)
            if not size:
                rest.append(words[0])
            words = words[max(1, size) :]
        return rest

    def _is_phrase(self, words: Sequence[str]) -> bool:
        if _parts(words) in self._phrases:
            return True
        return len(words) == 1 and self._is_run(_folded(words[0]))

    def _is_run(self, word: str) -> bool:
        """Whether an unspaced word is one phrase, repeated perhaps, with interjections around it."""
        return bool(_UNSPACED.search(word) and self._unspaced.fullmatch(word))

    def _may_become_one(self, words: list[str]) -> bool:
        """Whether the words are phrases and the start of one, the last word perhaps incomplete."""
        return any(
            not self._without(words[:at]) and (self._starts(words[at:]) or self._starts_run(words[at:]))
            for at in range(max(0, len(words) - self._longest), len(words))
        )

    def _starts(self, words: list[str]) -> bool:
        *whole, last = _parts(words)
        return any(
            len(phrase) > len(whole)
            and list(phrase[: len(whole)]) == whole
            and _shortest(phrase[len(whole)]).startswith(_shortest(last))
            for phrase in self._phrases
        )

    def _starts_run(self, words: list[str]) -> bool:
        word = _folded(words[0])
        first = max(1, len(word) - max((len(phrase[0]) for phrase in self._phrases), default=0))
        return len(words) == 1 and any(
            self._is_run(word[:at]) and self._starts([word[at:]]) for at in range(first, len(word))
        )


def _parts(words: Iterable[str]) -> tuple[str, ...]:
    """The words as phrases are compared: without hyphens, and in their shortest form."""
    return tuple(_folded(part) for word in words for part in word.split("-"))


def _shortest(part: str) -> str:
    return _RUN.sub(r"\1", part).rstrip("\u094d")  # a sign that joins two consonants


def _folded(part: str) -> str:
    if _HUM.fullmatch(part):
        return _RUN.sub(r"\1", part) if "h" in part else "mm"  # "m" alone is a letter
    if _UNSPACED.search(part):
        return part.replace("ー", "")
    return _HINDI_HUM.sub("हम्म", _LONG_RUN.sub(r"\1", part))
