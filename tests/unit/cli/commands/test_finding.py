"""How the options that choose sessions become a query."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from greenroom_cli.commands.finding import query, since
from greenroom_cli.errors import CommandError

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("30m", "2026-11-24T11:30:00Z"),
        ("2h", "2026-11-24T10:00:00Z"),
        ("3d", "2026-11-21T12:00:00Z"),
        ("2026-11-24T12:00:00+02:00", "2026-11-24T10:00:00Z"),
        ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
    ],
)
def test_a_time_is_sent_in_utc(written: str, read: str) -> None:
    assert query(since=written, now=NOW) == {"from": read}


@pytest.mark.parametrize("written", ["yesterday", "", "2026-13-01", "5w", "-2h", "999999d ago"])
def test_what_is_no_time_is_refused_by_name(written: str) -> None:
    with pytest.raises(CommandError, match="--to"):
        query(until=written, now=NOW)


def test_a_time_before_the_calendar_is_refused() -> None:
    with pytest.raises(CommandError, match="--from '999999d' is not a time"):
        query(since="999999d", now=NOW)


@pytest.mark.parametrize(("option", "given_"), [("status", {"status": ["gone"]}), ("outcome", {"outcome": ["fine"]})])
def test_an_unknown_word_is_refused_with_the_known_ones(option: str, given_: dict[str, list[str]]) -> None:
    with pytest.raises(CommandError, match=f"--{option} .*it is one of"):
        query(**given_, now=NOW)  # type: ignore[arg-type]


def test_options_that_were_not_given_are_not_asked_for() -> None:
    assert query(now=NOW) == {}


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (61, "1 m 1 s"), (3_660, "1 h 1 m"), (90_000, "1 d 1 h")]
)
def test_an_age_has_two_units(seconds: int, shown: str) -> None:
    assert since(NOW - timedelta(seconds=seconds), NOW) == shown


@given(st.integers(-100_000, 100_000_000))
def test_an_age_is_never_negative(seconds: int) -> None:
    assert "-" not in since(NOW - timedelta(seconds=seconds), NOW)
