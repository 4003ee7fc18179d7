"""The names that users may have."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.api import StartRequest, TokenRequest
from contracts.names import NAME_PATTERN

# What the validator refuses beside the pattern, as engines spell characters beyond U+FFFF in different ways.
BEYOND_THE_PATTERN = re.compile(
    "[\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|[\U00010000-\U0001efff\U0001fb00-\U0010ffff]\ufe0f"
)


@pytest.mark.parametrize(
    "name",
    [
        "Ada Lovelace",
        "ada@example.org",
        "Zoë",
        "李小龍",
        "محمد",
        "می\u200cخواهم",
        "क्\u200dष",
        "👩🏽\u200d💻",
        "❤️\u200d🔥",
        "山田\u3000太郎",
        "Ada ❤\ufe0f",
        "🏋\ufe0f\u200d♂\ufe0f",
    ],
)
def test_names_of_every_script_are_taken(name: str) -> None:
    assert StartRequest.model_validate({"userName": name, "userId": name}).user_name == name


@pytest.mark.parametrize(
    "name",
    [
        "a\x00b",
        "a\nb",
        "a\x9bb",
        "a\u202eb",
        "a\u2066b",
        "a\u200fb",
        "a\u200bb",
        "a\u2028b",
        "\ufeffa",
        "a\u200db",
        "ann\u200c",
        "\u200dم",
        "م\u200d\u200dم",
        "م\u200c م",
        "a\U000e0041",
        "a\U000e0100",
        "é\U0001d173",
        "\u3164",
        "é\u2800",
        "ann\u034f",
        "é\u115f",
        "é\u1160",
        "\uffa0",
        "ann\ufe00",
        "ann\ufe0f",
        "é\ufe0f",
        "❤\ufe0f\ufe0f",
        "\U0001d49c\ufe0f",
        "\ufe0f",
        "a\ud800",
        " ",
        "\u3000",
    ],
    ids=ascii,
)
def test_a_name_that_could_forge_a_line_or_look_like_another_is_refused(name: str) -> None:
    for body in ({"userName": name}, {"userName": "Ada", "userId": name}):
        with pytest.raises(ValidationError):
            StartRequest.model_validate(body)
    with pytest.raises(ValidationError):
        TokenRequest.model_validate({"sessionId": "session_1", "userId": name})


def test_white_space_around_a_name_is_removed() -> None:
    assert StartRequest.model_validate({"userName": " Ada\n"}).user_name == "Ada"


@given(st.from_regex(re.compile(NAME_PATTERN), fullmatch=True).filter(lambda name: len(name) <= 128))
def test_the_published_pattern_promises_nothing_that_is_refused(name: str) -> None:
    if not BEYOND_THE_PATTERN.search(name):
        StartRequest.model_validate({"userName": name})
