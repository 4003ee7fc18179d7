"""The recogniser's language model and the sentences that it is made of."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.conversation.talker import Line, answer
from sandbox.speech import corpus
from sandbox.speech.arpa import END, START, TrigramModel
from sandbox.speech.decoder import pronunciations

NOON = datetime(2024, 1, 1, 12)  # noqa: DTZ001
SENTENCES = st.lists(
    st.tuples(st.lists(st.sampled_from("abc"), min_size=1, max_size=5), st.floats(0.1, 5)), min_size=1, max_size=8
)
WORD = st.sampled_from(["a", "b", "c", START])


@given(SENTENCES, WORD, WORD)
def test_the_words_after_any_history_share_all_of_the_probability(
    sentences: list[tuple[list[str], float]], first: str, second: str
) -> None:
    model = TrigramModel(sentences)
    following = [*model.vocabulary, END]

    for history in ((), (second,), (first, second)):
        assert sum(model.probability((*history, word)) for word in following) == pytest.approx(1)


def test_what_was_seen_is_likelier_than_what_was_not() -> None:
    model = TrigramModel([(["count", "to", "five"], 1.0), (["go", "to", "bed"], 1.0)])

    assert model.probability(("count", "to", "five")) > model.probability(("count", "to", "bed"))


def test_the_file_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "menu.arpa"
    TrigramModel([(["count", "to", "five"], 1.0)]).write(file)
    text = file.read_text()

    assert text.startswith("\\data\\\n")
    assert text.endswith("\\end\\\n")
    for order, count in re.findall(r"ngram (\d)=(\d+)", text):
        section = text.split(f"\\{order}-grams:\n")[1].split("\n\n")[0]
        assert len(section.splitlines()) == int(count)


def test_no_sentence_is_no_model() -> None:
    with pytest.raises(ValueError, match="at least one sentence"):
        TrigramModel([])


def test_there_are_as_many_distractors_as_expected_sentences() -> None:
    expected = corpus.lines("callers") + corpus.lines("agents")

    assert len(corpus.distractors()) >= len(expected)
    assert not {words for words, _ in corpus.expected()} & {words for words, _ in corpus.distractors()}


def test_every_word_of_the_corpus_has_a_pronunciation() -> None:
    model = TrigramModel([*corpus.expected(), *corpus.distractors()])

    assert len(pronunciations(model.vocabulary)) >= len(model.vocabulary)


def test_a_word_without_a_pronunciation_is_named() -> None:
    with pytest.raises(LookupError, match="xyzzyx"):
        pronunciations(["hello", "xyzzyx"])


def test_the_recogniser_expects_every_answer_to_what_callers_say() -> None:
    prompt = Line("system", "You are Max.")
    opening = Line("assistant", "Hello Anna, how can I help you today?")
    expected = {words for words, _ in corpus.expected()}
    asked = {words for line in corpus.lines("callers") for words in [corpus.words(line)] if "{" not in line}
    unexpected: list[str] = []
    for words in asked:
        for minute in range(0, 12 * 60, 7):
            answered = answer([prompt, opening, Line("user", " ".join(words))], NOON + timedelta(minutes=minute))
            if corpus.words(answered) not in expected:
                unexpected.append(answered)

    assert unexpected == []
