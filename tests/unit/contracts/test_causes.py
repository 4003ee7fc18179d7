import re
from pathlib import Path

import pytest

from contracts.causes import EFFECTS, Cause, Effect, Lost, effect, provider_failed
from contracts.end_reasons import EndReason, known

TROUBLESHOOTING = Path(__file__).parents[3] / "docs/troubleshooting.md"


def test_each_cause_has_one_effect() -> None:
    assert set(EFFECTS) == {*Cause, *Lost}


@pytest.mark.parametrize("cause", [c for c in Cause if EFFECTS[c] in (Effect.COMPLETES, Effect.FAILS)])
def test_a_cause_that_ends_the_session_is_also_an_end_reason(cause: Cause) -> None:
    assert known(cause) == cause


def test_a_cause_of_another_version_blames_the_node_like_a_failure() -> None:
    assert effect("gone_to_lunch") is effect(Cause.CRASHED) is Effect.BLAMES


@pytest.mark.parametrize("provider", ["stt", "llm", "tts", None])
def test_a_failed_provider_fails_the_session_whichever_it_is(provider: str | None) -> None:
    assert effect(provider_failed(provider)) is Effect.FAILS
    assert known(provider_failed(provider)) is EndReason.PROVIDER_FAILED


@pytest.mark.parametrize("text", ["", "the caller pressed a button", "user_idle:stt", "of another version"])
def test_any_other_text_is_no_known_reason(text: str) -> None:
    assert known(text) is None


def test_the_troubleshooting_page_explains_every_end_reason() -> None:
    explained = set(re.findall(r"`(\w+)[`:]", TROUBLESHOOTING.read_text(encoding="utf-8")))

    assert set(EndReason) - explained == set()
