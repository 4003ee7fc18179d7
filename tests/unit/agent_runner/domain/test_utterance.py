"""Texts for the voice: cut to its limit, and found again when it left them out."""

from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.utterance import LONGEST, letters, pieces, remedy, unsaid

SENTENCES = ["Hello there. ", "It is 3.15 now. ", "[happy] Well, fine. "]


@given(st.text(max_size=400), st.integers(1, 50))
def test_pieces_are_the_text_and_none_is_too_long(text: str, longest: int) -> None:
    found = pieces(text, longest)

    assert "".join(found) == text
    assert all(0 < len(piece) <= longest for piece in found)


def test_a_text_within_the_limit_is_one_piece() -> None:
    assert pieces("a" * LONGEST) == ["a" * LONGEST]
    assert pieces("") == []


def test_a_text_is_cut_after_a_sentence_else_a_clause_else_a_word() -> None:
    assert pieces("One two. Three, four five", 20) == ["One two. ", "Three, four five"]
    assert pieces("One two, three four five", 18) == ["One two, ", "three four five"]
    assert pieces("One 1,400.50 three", 10) == ["One ", "1,400.50 ", "three"]
    assert pieces("一二三。四五六七", 6) == ["一二三。", "四五六七"]


@given(st.integers(0, len(SENTENCES)))
def test_the_texts_after_the_last_word_are_unsaid(n: int) -> None:
    words = letters("".join(SENTENCES[:n]))

    assert unsaid(SENTENCES, words) == (SENTENCES[n:] if n else [])


def test_other_words_than_the_texts_show_nothing() -> None:
    assert unsaid(SENTENCES, "Hello there It is a quarter past three now") == []
    assert unsaid(["Hello. ", "… "], "Hello.") == []


def test_a_text_without_audio_is_asked_for_again_then_in_pieces_then_elsewhere() -> None:
    assert [remedy(n, has_spare=True, has_audio=False) for n in (1, 2, 3)] == ["again", "shorter", "move"]
    assert remedy(3, has_spare=False, has_audio=False) == "fail"
    assert remedy(3, has_spare=True, has_audio=True) == "fail"
