"""The recogniser's sentences: those of callers and agents, and at least as many distractors."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources

from sandbox.conversation import spoken, talker

_SLOT = re.compile(r"\{(\w+)\}")
_CORPUS = resources.files("sandbox") / "corpus"
# A sentence that stands for hundreds counts as this many plain ones.
_SLOTTED_WEIGHT = 4.0

Sentence = tuple[tuple[str, ...], float]


def lines(name: str) -> list[str]:
    """The lines of corpus/<name>.txt, without comments."""
    text = (_CORPUS / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def words(text: str) -> tuple[str, ...]:
    """Lower-case words in the spelling of the pronunciation dictionary."""
    return tuple(talker.plain(text).lower().split())


@cache
def expected() -> tuple[Sentence, ...]:
    """Every sentence of a caller or an agent, with its weight."""
    return tuple(found for name in ("callers", "agents") for line in lines(name) for found in _expanded(line))


@cache
def distractors() -> tuple[Sentence, ...]:
    return tuple((words(line), 1.0) for line in lines("distractors"))


def _expanded(line: str) -> Iterator[Sentence]:
    sentences = [words(text) for text in _filled(line)]
    weight = 1.0 if len(sentences) == 1 else _SLOTTED_WEIGHT / len(sentences)
    for sentence in sentences:
        yield sentence, weight


def _filled(line: str) -> Iterator[str]:
    slot = _SLOT.search(line)
    if slot is None:
        yield line
        return
    for filling in _fillings()[slot[1]]():
        yield from _filled(line[: slot.start()] + filling + line[slot.end() :])


def _fillings() -> Mapping[str, Callable[[], Sequence[str]]]:
    return {
        "name": lambda: lines("names"),
        "count": lambda: [spoken.number(value) for value in range(1, talker.LONGEST_COUNT + 1)],
        "counted": lambda: [_counted(value) for value in range(2, talker.LONGEST_COUNT + 1)],
        "day": lambda: [spoken.weekday(datetime(2024, 1, day)) for day in range(1, 8)],  # noqa: DTZ001 - a Monday on
        "time": _times,
        "hour": lambda: [spoken.number(value) for value in range(1, 13)],
        "caller": lambda: [text for line in lines("callers") for text in _filled(line)],
    }


def _counted(upto: int) -> str:
    return " ".join(spoken.number(value) for value in range(1, upto + 1))


@cache
def _times() -> list[str]:
    return [spoken.time_of_day(datetime(2024, 1, 1, at // 60, at % 60)) for at in range(12 * 60)]  # noqa: DTZ001


def own_pronunciations() -> list[str]:
    """Words missing in the stock dictionary, and pronunciations of our voices, in its format."""
    return (_CORPUS / "pronunciations.dict").read_text(encoding="utf-8").splitlines(keepends=True)
