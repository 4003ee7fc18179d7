"""Numbers, times and days in words that are easy to say and to recognise."""

from datetime import datetime

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ["zero", "ten", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
LARGEST_NUMBER = 99


def number(value: int) -> str:
    """`value` (0..99) in words: 22 is "twenty two"."""
    if value < len(_ONES):
        return _ONES[value]
    tens, ones = divmod(value, 10)
    return _TENS[tens] if ones == 0 else f"{_TENS[tens]} {_ONES[ones]}"


def number_in(words: list[str]) -> int | None:
    """The first number among `words`, in digits or words (0..99); None when there is none."""
    for index, word in enumerate(words):
        if word.isdecimal():
            return min(int(word[:3]), LARGEST_NUMBER)
        pair = " ".join(words[index : index + 2])
        for value in range(LARGEST_NUMBER, -1, -1):
            if number(value) in (pair, word):
                return value
    return None


def time_of_day(now: datetime) -> str:
    """The time in spoken form: "three o'clock", "a quarter past three", "half past three", "three twenty two"."""
    hour, next_hour = number(now.hour % 12 or 12), number((now.hour + 1) % 12 or 12)
    match now.minute:
        case 0:
            return f"{hour} o'clock"
        case 15:
            return f"a quarter past {hour}"
        case 30:
            return f"half past {hour}"
        case 45:
            return f"a quarter to {next_hour}"
        case minute if minute < 10:
            return f"{hour} oh {number(minute)}"
        case minute:
            return f"{hour} {number(minute)}"


def weekday(now: datetime) -> str:
    return _DAYS[now.weekday()]
