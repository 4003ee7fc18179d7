from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.conversation.talker import Line, answer, plain

NOW = datetime(2024, 1, 5, 15, 15)  # noqa: DTZ001 - the local time of nobody in particular, a Friday
MAX = Line("system", "You are Max, a friendly voice assistant. Never use asterisks.")


def user(text: str) -> Line:
    return Line("user", text)


def agent(text: str) -> Line:
    return Line("assistant", text)


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("What time is it?", "It is a quarter past three."),
        ("uh what the time is", "It is a quarter past three."),
        ("Count to five.", "One, two, three, four, five."),
        ("count", "One, two, three, four, five."),
        ("please count to 3", "One, two, three."),
        ("count to ninety nine", f"{', '.join(['One', 'two', 'three'])}, four, five, six, seven, eight, nine, ten, "
         "eleven, twelve, thirteen, fourteen, fifteen, sixteen, seventeen, eighteen, nineteen, twenty."),
        ("what is your name", "My name is Max."),
        ("What day is it today?", "Today is Friday."),
        ("my name is anna", "Nice to meet you, Anna."),
        ("hello there", "Hello, how can I help you today?"),
        ("thank you goodbye", "You are welcome."),
        ("goodbye", "Goodbye, and have a nice day."),
        ("bananas are yellow", "I heard you say bananas are yellow. Please tell me more."),
        ("", "Hello. How can I help you today?"),
    ],
)  # fmt: skip
def test_it_answers_what_was_said(said: str, answered: str) -> None:
    assert answer([MAX, user(said)], NOW) == answered


@pytest.mark.parametrize(
    "asked", ["What did you just say?", "what did you say", "can you repeat that", "say that again"]
)
def test_it_repeats_its_own_last_answer(asked: str) -> None:
    said = [MAX, user("What time is it?"), agent("It is a quarter past three."), user(asked)]

    assert answer(said, NOW) == "I said: It is a quarter past three."


def test_repeating_a_repetition_does_not_pile_up() -> None:
    said = [MAX, agent("I said: It is a quarter past three."), user("what did you just say")]

    assert answer(said, NOW) == "I said: It is a quarter past three."


def test_it_repeats_its_opening_line() -> None:
    said = [MAX, agent("[happy] Hello Anna, how can I help you today?"), user("what did you just say")]

    assert answer(said, NOW) == "I said: Hello Anna how can I help you today."


def test_it_repeats_what_the_user_said() -> None:
    said = [MAX, user("I like music."), agent("Please tell me more."), user("What did I just say?")]

    assert answer(said, NOW) == "You said: I like music."


def test_nothing_said_yet_is_admitted() -> None:
    assert answer([MAX, user("what did you just say")], NOW) == "I have not said anything yet."
    assert answer([MAX, user("what did i just say")], NOW) == "You have not said anything before."


def test_a_sentence_cut_in_two_counts_as_one() -> None:
    said = [MAX, agent("It is noon."), user("What did you"), user("just say?")]

    assert answer(said, NOW) == "I said: It is noon."


def test_it_remembers_the_users_name() -> None:
    said = [MAX, user("my name is anna"), agent("Nice to meet you, Anna."), user("what is my name")]

    assert answer(said, NOW) == "Your name is Anna."


def test_without_a_name_in_the_prompt_it_has_none() -> None:
    prompt = Line("system", "You are a helpful AI voice assistant.")

    assert answer([prompt, user("what is your name")], NOW) == "I am your voice assistant."


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.text()), max_size=6))
def test_any_answer_is_short_and_plain(lines: list[tuple[str, str]]) -> None:
    answered = answer([Line(role, text) for role, text in lines], NOW)

    assert answered.isascii()
    assert 1 <= sum(answered.count(mark) for mark in ".?!") <= 2
    assert not set("*[]<>") & set(answered)


@given(st.text())
def test_plain_text_holds_words_only(text: str) -> None:
    assert plain(plain(text)) == plain(text)
    assert set(plain(text)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789' ")
