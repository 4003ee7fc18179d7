"""How long an answer is, and where it ends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.answer import Answer, fitting, up_to_a_sentence
from agent_runner.domain.speakable import Speakable
from contracts.deadlines import LAST_WORDS_S, OWN_LAST_WORDS_S
from contracts.lines import TABLE

SENTENCE = "This is one of the sentences of it. "  # 36 characters: 2.4 s


def said(answer: Answer, *pieces: str) -> str:
    out = ""
    for piece in pieces:
        answer, ready = answer.fed(piece)
        out += ready
    return out + answer.ended()[1]


def test_an_answer_that_runs_on_ends_with_its_sentence() -> None:
    assert said(Answer(5), SENTENCE * 10) == (SENTENCE * 3).strip()
    assert said(Answer(5), *[f" {word}" for word in (SENTENCE * 10).split()]) == (SENTENCE * 3).strip()
    assert said(Answer(5, speed=1.5), SENTENCE * 10) == (SENTENCE * 4).strip()


def test_one_without_sentences_ends_with_a_word() -> None:
    words = said(Answer(5), *["word "] * 100)
    assert 5 * 15 <= len(words) <= 8 * 15
    assert words.endswith("word")


def test_scripts_without_spaces_end_too() -> None:
    assert said(Answer(5), "これは長い答えの文です。" * 10) == "これは長い答えの文です。" * 3


def test_no_limit() -> None:
    assert said(Answer(0), SENTENCE * 100) == (SENTENCE * 100).strip()


@given(st.lists(st.sampled_from(["One ", "two. ", "three", "! ", "\n", "四。"]), max_size=60), st.floats(0.2, 3))
def test_it_says_a_beginning_of_the_answer(pieces: list[str], longest_s: float) -> None:
    whole = said(Answer(0), *pieces)
    assert whole.startswith(said(Answer(longest_s), *pieces))


LEAD = "Let me look that up."


@pytest.mark.parametrize(
    ("before", "text", "new"),
    [
        (LEAD, "Let me look that up. Seat 12.", " Seat 12."),
        (LEAD, "let me look  that up.\nSeat 12.", " Seat 12."),
        (LEAD, "Let me look that up", ""),
        (LEAD, "Seat 12.", " Seat 12."),
        ("Let me look", "", ""),
        ("Let me look", "Let me looking at it.", " Let me looking at it."),
        ("Straße.", "STRASSE. Ja.", " Ja."),
        ("我看一下", "我看一下座位。", " 座位。"),
        (LEAD, "Sure, let me look that up.", " Sure, let me look that up."),
    ],
)
def test_the_next_attempt_leaves_out_the_beginning_that_was_said(before: str, text: str, new: str) -> None:
    first, _ = Answer(0).fed(before)
    assert said(first.again(Speakable(), before), text) == new


def test_the_next_attempt_keeps_to_the_limit_of_the_whole_answer() -> None:
    first, before = Answer(5).fed(SENTENCE * 2)
    assert said(first.again(Speakable(), before), SENTENCE * 10).strip() == SENTENCE.strip()
    over, before = Answer(5).fed(SENTENCE * 10)
    assert over.is_at_limit
    assert said(over.again(Speakable(), before), SENTENCE * 10) == ""


@pytest.mark.parametrize(
    ("text", "alone", "spoken"),
    [
        ("And so it went, until the", False, ""),
        ("And so it went, until the", True, "And so it went."),
        ("And so it went until the en", True, "And so it went until the."),
        ("It is here. And then", False, "It is here."),
        ("It costs 2.50 eur", False, ""),
        ("It is here.", False, "It is here."),
        ("", True, ""),
    ],
)
def test_a_text_that_the_limit_cut(text: str, alone: bool, spoken: str) -> None:
    assert up_to_a_sentence(text, is_alone=alone) == spoken


@pytest.mark.parametrize(
    ("text", "longest_s", "kept"),
    [
        ("Goodbye, Anna!", 5, "Goodbye, Anna!"),
        ("Thank you. " + "We hope to hear from you soon. " * 4, 4, "Thank you. We hope to hear from you soon."),
        ("We wish you a pleasant evening, and hope to hear more", 2.3, "We wish you a pleasant evening"),
        ("Dr. Miller will call you back tomorrow at nine in the morning", 2, "Dr. Miller will call you back"),
        ("感谢您的来电。" * 9, 5, "感谢您的来电。" * 3),
        ("Version 1.5 is out today", 0.9, "Version 1.5"),
        ("a" * 100, 2, "a" * 30),
    ],
)
def test_of_long_last_words_the_whole_sentences_that_fit_are_said(text: str, longest_s: float, kept: str) -> None:
    assert fitting(text, longest_s) == kept


@given(st.text(max_size=400), st.floats(0, 10), st.floats(0.5, 1.5))
def test_what_fits_is_a_beginning(text: str, longest_s: float, speed: float) -> None:
    kept = fitting(text, longest_s, speed)
    assert text.startswith(kept)
    assert kept == text or len(kept) <= longest_s * speed * 15


@pytest.mark.parametrize("speed", [0.9, 1.0])
@pytest.mark.parametrize("language", sorted(TABLE))
def test_each_languages_own_last_words_are_said_whole(language: str, speed: float) -> None:
    lines = TABLE[language]
    for line in (lines.apology, lines.timeout_goodbye):
        assert fitting(line, LAST_WORDS_S - 1, speed) == line
    for line in (lines.goodbye, lines.idle_goodbye):
        assert fitting(line, OWN_LAST_WORDS_S - 1, speed) == line
