"""Warm floors: how they are written, and when they hold."""

from datetime import datetime

import pytest
from pydantic import ValidationError

from agent_runner.domain.warm_floors import EXAMPLE, floor_at, parse
from agent_runner.settings import Settings

FLOORS = parse(EXAMPLE)


@pytest.mark.parametrize(
    ("at", "warm"),
    [
        ("2026-11-23 06:59", 0),  # a Monday
        ("2026-11-23 07:00", 8),
        ("2026-11-27 09:59", 8),
        ("2026-11-27 10:00", 0),
        ("2026-11-28 07:00", 0),
        ("2026-11-28 10:00", 4),
        ("2026-11-29 11:59", 4),
        ("2026-11-29 12:00", 0),
    ],
)
def test_a_floor_holds_on_its_days_between_its_times(at: str, warm: int) -> None:
    assert floor_at(FLOORS, datetime.fromisoformat(at)) == warm


def test_a_floor_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    floors = parse("fri 22:00-02:00=5")
    held = [f"2026-11-{day} {at}" for day in (27, 28) for at in ("01:59", "02:00", "21:59", "22:00")]
    assert [floor_at(floors, datetime.fromisoformat(at)) for at in held] == [0, 0, 0, 5, 5, 0, 0, 0]


def test_ranges_wrap_lists_mix_and_the_highest_floor_counts() -> None:
    floors = parse(" SAT-mon,wed 00:00-24:00 = 2 ; mon 12:00-13:00=9;")
    on = [floor_at(floors, datetime.fromisoformat(f"2026-11-{day} 12:30")) for day in range(23, 30)]
    assert on == [9, 0, 2, 0, 0, 2, 2]
    assert floor_at(floors, datetime.fromisoformat("2026-11-23 23:59")) == 2
    assert parse("") == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("weekdays 07:00-10:00=8", "entry 1 has an unknown day"),
        ("mon 07:00-10:00=8; mon-xyz 07:00-10:00=8", "entry 2 has an unknown day"),
        ("mon 7:00-10:00=8", "is not written as in 'mon-fri"),
        ("mon 07:00-25:00=8", "entry 1 has no time"),
        ("mon 24:00-02:00=8", "begins at 24:00"),
        ("mon 07:00-10:00", "is not written as in"),
        ("mon 07:00-10:00=-1", "is not written as in"),
    ],
)
def test_a_mistake_is_named_with_its_entrys_number(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse(text)


def test_the_settings_read_floors_and_their_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARM_FLOORS", EXAMPLE)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    assert Settings().warm_floor(datetime.fromisoformat("2026-11-23T06:30:00+00:00")) == 8
    monkeypatch.setenv("TZ", "UTC")
    assert Settings().warm_floor(datetime.fromisoformat("2026-11-23T06:30:00+00:00")) == 0


def test_a_time_zone_is_only_asked_for_where_there_are_floors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":/etc/localtime")
    assert Settings().warm_floors == ()
    monkeypatch.setenv("WARM_FLOORS", EXAMPLE)
    with pytest.raises(ValidationError, match="TZ names no time zone that this host knows"):
        Settings()
