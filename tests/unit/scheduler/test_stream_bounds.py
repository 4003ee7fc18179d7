"""The bounds of the log against the calls that it has to hold."""

import pytest
from pydantic import ValidationError

from contracts.streams import KEYS, SESSIONS, reserved_bytes
from scheduler.settings import Settings

GIVEN = {"livekit_url": "ws://x", "livekit_api_key": "k", "livekit_api_secret": "s" * 32}
MIB = 1024**2


def settings(**changes: object) -> Settings:
    return Settings.model_validate(GIVEN | changes)


def test_by_default_the_log_is_small_and_grows_with_the_calls() -> None:
    assert settings().sessions() == SESSIONS
    many = settings(max_bots=1_000, session_timeout=14_400_000).sessions()
    assert many.max_bytes >= 2 * 1_000 * 14_400 * 263
    assert not many.is_set


def test_a_log_that_does_not_hold_its_calls_twice_is_refused_with_what_to_set() -> None:
    with pytest.raises(ValidationError, match=r"SESSIONS_MAX_MB=40 .*MAX_BOTS=50 .*set it to 46 or more"):
        settings(sessions_max_mb=40)
    with pytest.raises(ValidationError, match=r"SESSIONS_MAX_AGE_H=1 .*set it to 2 or more"):
        settings(sessions_max_age_h=1)
    chosen = settings(sessions_max_mb=46, sessions_max_age_h=2).sessions()
    assert (chosen.max_bytes, chosen.max_age_s, chosen.is_set) == (46 * MIB, 7_200, True)


def test_the_keys_hold_the_calls_of_all_slots_while_they_are_kept() -> None:
    assert (settings().keys(), settings(max_bots=69).keys()) == (KEYS, KEYS)
    many = settings(max_bots=1_000).keys()
    assert many.max_bytes >= 1_000 * 8 * 86_400 / 180 * 250
    assert not many.is_set
    assert settings(max_bots=1_000, sessions_max_age_h=24).keys().max_bytes < many.max_bytes / 3
    chosen = settings(max_bots=1_000, keys_max_mb=1).keys()
    assert (chosen.max_bytes, chosen.is_set) == (MIB, True)


def test_all_streams_together_fit_on_a_disk_with_4_gb_free() -> None:
    assert reserved_bytes() < 0.75 * 4e9
    assert reserved_bytes({"SESSIONS": 0}) == reserved_bytes() - SESSIONS.max_bytes
