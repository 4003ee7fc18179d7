"""Which texts have spaces between their words."""

import pytest

from agent_runner.domain.spacing import is_unspaced, spaced


@pytest.mark.parametrize("text", ["您好", "これは", "カタカナ", "我用 Python", "𠮷野家"])
def test_chinese_and_japanese_have_none(text: str) -> None:
    assert is_unspaced(text)


@pytest.mark.parametrize("text", ["", "Hello.", "안녕하세요", "नमस्ते", "Привет", "שלום", "！。", "🙂", "12"])
def test_other_scripts_have_them_and_punctuation_decides_nothing(text: str) -> None:
    assert not is_unspaced(text)


def joined(words: str) -> str:
    text = ""
    for word in words.split("|"):
        text += spaced(word, text)
    return text.strip()


@pytest.mark.parametrize("words", ["您|好", "これ|は", "カタ|カナ", "𠮷|野|家", "您好，|我是|小明。", "こんにちは|。"])
def test_chinese_and_japanese_have_no_spaces(words: str) -> None:
    assert joined(words) == words.replace("|", "")


@pytest.mark.parametrize(
    "words",
    [
        "Hello,|John.",
        "안녕하세요,|저는|민수예요.",
        "नमस्ते|दोस्त",
        "Привет,|мир",
        "שלום|לך",
        "At|12|(noon)",
        "🙂 Hi|there",
    ],
)
def test_other_scripts_have_them(words: str) -> None:
    assert joined(words) == words.replace("|", " ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("Please|say|你好|to|her|now.", "Please say你好to her now."),
        ("我|用|Visual|Studio|Code|写|代码|。", "我用Visual Studio Code写代码。"),
        ("您好。|Hello|there.", "您好。Hello there."),
        ("Call|me|at|3|点", "Call me at 3点"),
        ("Wait|!", "Wait!"),
        ("Good|🙂|day", "Good🙂 day"),
    ],
)
def test_mixed_texts_keep_the_spaces_of_the_scripts_that_have_them(words: str, text: str) -> None:
    assert joined(words) == text
