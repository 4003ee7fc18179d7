"""Which words of the caller interrupt the agent, in each language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.caller_words import BACKCHANNELS, Backchannels

EN = Backchannels.of("en", {})


@pytest.mark.parametrize(
    ("text", "is_final", "asks"),
    [
        ("Mhm.", True, False),
        ("Okay, yeah.", True, False),
        ("I see", True, False),
        ("o", False, False),
        ("got", False, False),
        ("got", True, True),
        ("Okay, but wait", False, True),
        ("No.", True, True),
        ("Stop", False, True),
    ],
)
def test_backchannels_ask_for_nothing(text: str, is_final: bool, asks: bool) -> None:
    assert EN.asks_for_floor(text, 1, is_final=is_final) == asks


@pytest.mark.parametrize(
    ("language", "overrides", "interrupts"),
    [
        ("en", {"en": ()}, True),
        ("en-GB", {"en": ()}, True),
        ("en-GB", {"en": (), "en-GB": ("yeah",)}, False),
        ("zh-Hant-TW", {"zh-Hant": ("yeah",), "zh": ()}, False),
        ("en", {"en-GB": (), "de": ()}, False),
        ("fi", {"fi": ()}, True),
        ("fi", {}, False),
    ],
)
def test_the_phrases_of_a_setting_replace_the_languages_own_also_when_there_are_none(
    language: str, overrides: dict[str, tuple[str, ...]], interrupts: bool
) -> None:
    assert Backchannels.of(language, overrides).asks_for_floor("Yeah.", 1, is_final=True) == interrupts


MARKS = st.sampled_from([".", "", "!", "...", "…", ",", "、", "。", "，", "।", "॥", "~", "〜", " ।"])
HUMS = [
    "Hm",
    "Hmm",
    "Hmmmm",
    "Mm",
    "Mmmm",
    "Mhm",
    "Mhmm",
    "Mm-hm",
    "Mm-hmm",
    "Mm hmm",
    "Uh-huh",
    "Uh huh",
    "Ok",
    "OKAY",
]


@given(st.sampled_from([(language, said) for language, phrases in BACKCHANNELS.items() for said in phrases]), MARKS)
def test_each_language_has_its_own_with_any_mark(one: tuple[str, str], mark: str) -> None:
    language, phrase = one
    known = Backchannels.of(f"{language}-XX", {})
    for said in (phrase, phrase.capitalize(), f"{phrase}{mark} {phrase}"):
        assert not known.asks_for_floor(f"{said}{mark}", 1, is_final=True), (language, said)
    for end in range(1, len(phrase)):
        assert not known.asks_for_floor(phrase[:end], 1, is_final=False), (language, phrase[:end])


@given(st.sampled_from(sorted(BACKCHANNELS)), st.lists(st.tuples(st.sampled_from(HUMS), MARKS), min_size=1, max_size=3))
def test_a_hum_and_okay_are_none_in_any_language(language: str, hums: list[tuple[str, str]]) -> None:
    text = " ".join(f"{hum}{mark}" for hum, mark in hums)
    assert not Backchannels.of(language, {}).asks_for_floor(text, 1, is_final=True)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Yeaaah, okayyy."),
        ("hi", "हाँ।"),
        ("hi", "ठीक है। जी।"),
        ("hi", "हम्म्म।"),
        ("ja", "はいはい"),
        ("ja", "はいはいはい。"),
        ("ja", "うーん"),
        ("ja", "へえー、なるほど。"),
        ("ja", "ああなるほど"),
        ("zh", "对对对"),
        ("zh", "好的好的。"),
        ("zh", "嗯嗯嗯，好的"),
        ("zh", "嗯好的"),
        ("zh", "ok好的"),
        ("zh-TW", "對對對。"),
    ],
)
def test_a_phrase_in_any_length_is_none(language: str, text: str) -> None:
    known = Backchannels.of(language, {})
    assert not known.asks_for_floor(text, 1, is_final=True)
    assert not any(known.asks_for_floor(text[:end], 1, is_final=False) for end in range(len(text)))


@pytest.mark.parametrize(
    ("language", "text"),
    [
        *(("en", text) for text in ("No.", "Right there.", "Okay, stop.", "Uh-uh.", "Mm-mm.", "Huh?", "M.", "Uh, no.")),
        *(("de", text) for text in ("Nein.", "Um acht.", "Okay, halt.")),
        *(("pt", text) for text in ("Um.", "Não.")),
        ("es", "Valle."),
        ("fr", "Non."),
        ("it", "Okay, basta."),
        *(("hi", text) for text in ("नहीं।", "हम।", "ठीक है। रुको।")),
        *(("ja", text) for text in ("ううん", "はい違います", "いいえ。", "はいはい待って", "ん？何")),
        *(("zh", text) for text in ("好是好", "不对", "是好的", "对了", "好的等一下", "嗯不是")),
    ],
)
def test_an_answer_interrupts(language: str, text: str) -> None:
    assert Backchannels.of(language, {}).asks_for_floor(text, 1, is_final=True)


def test_a_hyphenated_word_is_one_word() -> None:
    assert not EN.asks_for_floor("Twenty-three", 2, is_final=True)
    assert EN.asks_for_floor("Twenty-three people", 2, is_final=True)


@given(st.lists(st.sampled_from("はいうんへえあー嗯好的是对hmok-"), max_size=60).map("".join), st.booleans())
def test_any_words_are_judged(text: str, is_final: bool) -> None:
    for language in ("ja", "zh"):
        Backchannels.of(language, {}).asks_for_floor(text, 1, is_final=is_final)


def test_a_setting_replaces_the_phrases() -> None:
    assert Backchannels.of("zh", {}).asks_for_floor("等一下", 3, is_final=True)
    assert Backchannels.of("en", {"en": ("roger",)}).asks_for_floor("Okay.", 1, is_final=True)
    assert not Backchannels.of("en", {"en": ("roger",)}).asks_for_floor("Roger!", 1, is_final=True)
