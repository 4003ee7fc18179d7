from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.conversation import spoken


@pytest.mark.parametrize(
    ("hour", "minute", "said"),
    [
        (0, 0, "twelve o'clock"),
        (15, 15, "a quarter past three"),
        (3, 30, "half past three"),
        (12, 45, "a quarter to one"),
        (23, 45, "a quarter to twelve"),
        (15, 5, "three oh five"),
        (15, 22, "three twenty two"),
    ],
)
def test_the_time_as_one_says_it(hour: int, minute: int, said: str) -> None:
    assert spoken.time_of_day(datetime(2024, 1, 1, hour, minute)) == said  # noqa: DTZ001


@given(st.integers(0, spoken.LARGEST_NUMBER), st.lists(st.sampled_from(["count", "to", "please"]), max_size=3))
def test_a_number_is_found_again_in_words(value: int, around: list[str]) -> None:
    assert spoken.number_in([*around, *spoken.number(value).split(), *around]) == value
    assert spoken.number_in([*around, str(value)]) == value


def test_words_without_a_number_have_none() -> None:
    assert spoken.number_in(["what", "time", "is", "it"]) is None
