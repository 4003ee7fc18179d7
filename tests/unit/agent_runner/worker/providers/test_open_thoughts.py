"""Which answers are held until their thoughts end."""

import pytest

from agent_runner.domain.speakable import Speakable
from agent_runner.worker.providers.open_thoughts import OpenThoughts

BARE = Speakable().fed("Hm.</think>Yes.")[0]
IN_VAIN = Speakable(is_thinking=True).fed("Yes.")[0]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("Qwen/Qwen3-4B-Thinking-2507", True),
        ("deepseek-r1", True),
        ("Qwen/QwQ-32B", True),
        ("Qwen/Qwen3-8B", False),
        ("openai/gpt-oss-120b", False),
        ("llama-3.3-70b-versatile", False),
    ],
)
def test_the_name_tells(model: str, expected: bool) -> None:
    assert OpenThoughts().expects(model) is expected


def test_a_model_whose_thinking_is_off_is_not_held_unless_the_setting_says_so() -> None:
    known = OpenThoughts()
    assert known.expects("qwen/qwen3.5-35b")
    assert not known.expects("qwen/qwen3.5-35b", is_off=True)
    assert OpenThoughts(True).expects("qwen/qwen3.5-35b", is_off=True)


def test_an_answer_tells_more_than_the_name() -> None:
    known = OpenThoughts()
    known.learn("mine", BARE)
    assert known.expects("mine")
    assert not known.expects("other")
    known.learn("mine", Speakable().fed("Yes.")[0])
    known.learn("mine", Speakable(is_thinking=True).fed("Hm.</think>Yes.")[0])
    assert known.expects("mine")
    known.learn("mine", IN_VAIN)
    assert not known.expects("mine")
    known.learn("deepseek-r1", IN_VAIN)
    assert not known.expects("deepseek-r1")


@pytest.mark.parametrize("is_set", [False, True])
def test_the_setting_holds_whatever_comes(is_set: bool) -> None:
    known = OpenThoughts(is_set)
    known.learn("mine", IN_VAIN if is_set else BARE)
    assert known.expects("mine") is is_set
