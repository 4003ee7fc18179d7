"""Warm floors: more idle workers at the hours when calls come, such as `mon-fri 07:00-10:00=8`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
EXAMPLE: Final = "mon-fri 07:00-10:00=8; sat,sun 10:00-12:00=4"

_MIDNIGHT: Final = 24 * 60
_ENTRY = re.compile(r"(?P<days>[a-z,-]+) +(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d) *= *(?P<warm>\d{1,4})")


@dataclass(frozen=True, slots=True)
class WarmFloor:
    """A minimum of warm workers, on these days between two times.

    Attributes:
        days: 0 is Monday.
        begin: Minutes after midnight.
        end: Minutes after midnight, exclusive; a value at or before `begin` is on the next day.
        warm: Workers.
    """

    days: frozenset[int]
    begin: int
    end: int
    warm: int

    def holds(self, at: datetime) -> bool:
        """Whether the floor applies at this local time."""
        day, minute = at.weekday(), at.hour * 60 + at.minute
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        since_yesterday = (day - 1) % 7 in self.days and minute < self.end
        return since_yesterday or (day in self.days and minute >= self.begin)


def floor_at(floors: Sequence[WarmFloor], at: datetime) -> int:
    """The highest floor that applies at this local time; 0: none."""
    return max((floor.warm for floor in floors if floor.holds(at)), default=0)


def parse(text: str) -> tuple[WarmFloor, ...]:
    """Parse floors, separated by semicolons; days are names, ranges and lists of both.

    Raises:
        ValueError: Names the faulty entry by its number, and the fault; quotes no part of the text.
    """
    floors: list[WarmFloor] = []
    for n, entry in enumerate((part.strip().lower() for part in text.split(";") if part.strip()), start=1):
        try:
            floors.append(_floor(entry))
        except ValueError as error:
            raise ValueError(f"entry {n} {error}") from None
    return tuple(floors)


def _floor(entry: str) -> WarmFloor:
    found = _ENTRY.fullmatch(entry)
    if found is None:
        raise ValueError(f"is not written as in {EXAMPLE!r}")
    begin, end = _minute(found["begin"]), _minute(found["end"])
    if begin == _MIDNIGHT:
        raise ValueError("begins at 24:00; write 00:00 of the next day")
    return WarmFloor(_days(found["days"]), begin, end, int(found["warm"]))


def _minute(text: str) -> int:
    if text == "24:00":
        return _MIDNIGHT
    try:
        at = time.fromisoformat(text)
    except ValueError:
        raise ValueError("has no time between 00:00 and 24:00") from None
    return at.hour * 60 + at.minute


def _days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        for name in (first, last) if dash else (first,):
            if name not in DAYS:
                raise ValueError(f"has an unknown day; the days are {', '.join(DAYS)}")
        begin = DAYS.index(first)
        count = (DAYS.index(last) - begin) % 7 + 1 if dash else 1
        days |= {(begin + n) % 7 for n in range(count)}
    return frozenset(days)
