"""Which texts have spaces between their words."""

import pytest

from agent_runner.domain.spacing import is_unspaced


@pytest.mark.parametrize("text", ["您好", "これは", "カタカナ", "我用 Python", "𠮷野家"])
def test_chinese_and_japanese_have_none(text: str) -> None:
    assert is_unspaced(text)


@pytest.mark.parametrize("text", ["", "Hello.", "안녕하세요", "नमस्ते", "Привет", "שלום", "！。", "🙂", "12"])
def test_other_scripts_have_them_and_punctuation_decides_nothing(text: str) -> None:
    assert not is_unspaced(text)
