"""What of a model's text reaches the voice, in whatever pieces it arrives."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_runner.domain.delivery import EMOTIONS, has_words, tag_for, without_tags
from agent_runner.domain.speakable import Speakable, speakable

PIECES = st.sampled_from(
    [
        *("<think>", "</think>", "<break time='1s'/>", "<b>", "<", ">", "```", "`", "**", "*", "_", "~~", "\n", "\n\n"),
        *("[happy]", "[laughs warmly]", "[menu](https://a.b/c)", "![", "[", "]", "(", ")", "(laughs)", "*sighs*", "!"),
        *("# ", "- ", "1. ", "> ", "---", "| a |", "😀", "👍🏽", "…", "—", " ", ". ", "? ", "2*3", "-5", "snake_case"),
        *("https://www.example.com/x?y=1", "http", "w", "hi", "Rome", "is", "a@b.de", "über", "お願い。", "नमस्ते"),
    ]
)


def in_pieces(text: str, cuts: list[int]) -> str:
    state, said, at = Speakable(), "", 0
    for size in cuts:
        state, ready = state.fed(text[at : at + size])
        said, at = said + ready, at + size
    state, ready = state.fed(text[at:])
    return said + ready + state.ended()[1]


@given(st.lists(PIECES, max_size=25).map("".join), st.lists(st.integers(1, 9), max_size=40))
def test_the_pieces_make_no_difference(text: str, cuts: list[int]) -> None:
    assert in_pieces(text, cuts) == speakable(text)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_markup_is_left(text: str) -> None:
    said = speakable(text)
    assert not re.search(r"`|😀|👍|</?think>|<b|\*\*|https?://", said)
    assert all(tag.strip("[]") in EMOTIONS for tag in re.findall(r"\[[^\]]*\]", said))
    assert "[" not in without_tags(said)


@given(st.text(alphabet=st.characters(categories=["L", "Nd"]), min_size=1))
def test_plain_words_stay(word: str) -> None:
    assert speakable(f"So {word}, then. Bye!") == f"So {word}, then. Bye!"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1. **Rome** *sighs* 🙂 `x`", "1. Rome x"),
        ("[laughs warmly] Hi. [HAPPY] Hello.", "Hi. [happy] Hello."),
        ("<think>One. Two.\nThree!</think>\n\nYes.", "Yes."),
        ("<think>never closed. So what", ""),
        ("One.<break time='1s'/> Two <i>three</i>.", "One. Two three."),
        (
            "See [the menu](https://x.y/z_(a)) or https://www.example.com/a?b=c. Fine?",
            "See the menu or example.com. Fine?",
        ),
        ("# Cities\n- Rome\n- Paris\n\nThat is all.", "Cities.\nRome.\nParis.\nThat is all."),
        ("2*3 is 6, press * then #.", "2*3 is 6, press * then #."),
        ("snake_case and _so_ __bold__", "snake_case and so bold"),
        (
            "*laughs* Well, that is *really* good (chuckles) (open until five).",
            "Well, that is really good (open until five).",
        ),
        ("Guten Tag. *lacht* Das ist gut.", "Guten Tag. Das ist gut."),
        ("Here:\n```py\nx = 1. y\n```\nDone.", "Here:\nDone."),
        ("a < b and [open", "a < b and open"),
        ("It is -5 °C.\n-5 is cold.", "It is -5 °C.\n-5 is cold."),
        ("Hello 😀. Bye", "Hello. Bye"),
        ("***", ""),
        ("😀", ""),
        ("\u200b", ""),
    ],
)
def test_what_is_said(text: str, said: str) -> None:
    assert speakable(text) == said


@pytest.mark.parametrize("text", ["…", "—", "***", "😀", "[happy]", "?!", "\u200b", ""])
def test_nothing_to_say(text: str) -> None:
    assert not has_words(speakable(text))


def test_thoughts_are_no_answer_and_a_smiley_is_one() -> None:
    assert not Speakable().fed("<think>Hm.</think> \n")[0].had_text
    assert Speakable().fed("😀")[0].had_text
    assert Speakable().fed("[sighs]")[0].ended()[0].had_text


def test_each_voice_model_gets_its_dialect() -> None:
    text = "Well [happy] hello [sad] there."
    assert without_tags(text) == "Well hello there."
    assert tag_for("inworld-tts-1.5-max", text) == "[happy] "
    assert tag_for("inworld-tts-2", text) == "[say happily] "
    assert tag_for("inworld-tts-2", "Hello.") == ""
