"""The model's answers. Keywords decide, not sentences: the user's words come from a recogniser."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sandbox.conversation import spoken

LONGEST_COUNT = 20
DEFAULT_COUNT = 5
# Quotes of the user are cut here, so that an answer has one or two sentences.
LONGEST_QUOTE_WORDS = 25

_MARKUP = re.compile(r"\[[^\]]*\]|\*[^*]*\*|<[^>]*>")
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9' ]+")
_NAME_GIVEN = re.compile(r"\b(?i:you are|you're|your name is|named|called)\s+([A-Z][a-z]+)\b")
_NOT_NAMES = frozenset({"A", "An", "The", "Not", "Helpful"})
_OWN_NAME = re.compile(r"\bmy name is ([A-Za-z]+)|\bcall me ([A-Za-z]+)", re.IGNORECASE)


@dataclass(frozen=True)
class Line:
    """One line of the conversation: the speaker ("system", "user", "assistant") and the text."""

    role: str
    text: str


@dataclass(frozen=True)
class Moment:
    """The input of an answer: the last line (plain text, lower-case words), the earlier lines, the time."""

    said: str
    words: list[str]
    earlier: Sequence[Line]
    now: datetime

    def has(self, *any_of: str) -> bool:
        return any(word in self.words for word in any_of)

    def has_phrase(self, *any_of: str) -> bool:
        text = f" {' '.join(self.words)} "
        return any(f" {phrase} " in text for phrase in any_of)

    def last(self, role: str) -> str | None:
        return next(
            (plain(line.text) for line in reversed(self.earlier) if line.role == role and plain(line.text)), None
        )


def plain(text: str) -> str:
    """`text` on one line, without tags, stage directions and other non-words."""
    return " ".join(_NOT_A_WORD.sub(" ", _MARKUP.sub(" ", text)).split())


def answer(lines: Sequence[Line], now: datetime) -> str:
    """Answer the last line of the user in one or two plain sentences.

    Args:
        lines: The conversation so far, system prompt included, oldest first.
        now: The local time, for questions about it.
    """
    moment = _moment(lines, now)
    for rule in _RULES:
        found = rule(moment)
        if found is not None:
            return found
    return f"I heard you say {_quote(moment.said)}. Please tell me more."


def _moment(lines: Sequence[Line], now: datetime) -> Moment:
    """The user's lines since the assistant's last one count as one: a recogniser may split a sentence."""
    end = len(lines)
    while end > 0 and lines[end - 1].role == "user":
        end -= 1
    said = plain(" ".join(line.text for line in lines[end:]))
    return Moment(said=said, words=said.lower().split(), earlier=lines[:end], now=now)


def _quote(text: str) -> str:
    words = text.split()[:LONGEST_QUOTE_WORDS]
    return " ".join(words)


def _nothing_said(moment: Moment) -> str | None:
    return None if moment.words else "Hello. How can I help you today?"


def _own_last_words(moment: Moment) -> str | None:
    asked = moment.has_phrase("you say", "you just say", "you said", "you just said", "say that again", "say it again")
    if not (asked or moment.has("repeat", "pardon")):
        return None
    last = moment.last("assistant")
    if last is None:
        return "I have not said anything yet."
    return f"I said: {_quote(last.removeprefix('I said '))}."


def _users_last_words(moment: Moment) -> str | None:
    if not moment.has_phrase("i say", "i just say", "i said", "i just said"):
        return None
    last = moment.last("user")
    return "You have not said anything before." if last is None else f"You said: {_quote(last)}."


def _agents_name(moment: Moment) -> str | None:
    if not moment.has_phrase("your name", "who are you", "who is this", "who am i talking to"):
        return None
    prompt = " ".join(line.text for line in moment.earlier if line.role == "system")
    name = next((name for name in _NAME_GIVEN.findall(prompt) if name not in _NOT_NAMES), None)
    return f"My name is {name}." if name else "I am your voice assistant."


def _users_name(moment: Moment) -> str | None:
    if own := _OWN_NAME.search(moment.said):
        return f"Nice to meet you, {(own[1] or own[2]).capitalize()}."
    if not moment.has_phrase("my name", "who am i"):
        return None
    told = [_OWN_NAME.search(line.text) for line in moment.earlier if line.role == "user"]
    names = [found[1] or found[2] for found in told if found]
    return f"Your name is {names[-1].capitalize()}." if names else "You have not told me your name."


def _count(moment: Moment) -> str | None:
    if not moment.has("count", "counting"):
        return None
    asked = spoken.number_in(moment.words)
    upto = min(max(asked or DEFAULT_COUNT, 1), LONGEST_COUNT)
    counted = ", ".join(spoken.number(value) for value in range(1, upto + 1))
    return f"{counted.capitalize()}."


def _time(moment: Moment) -> str | None:
    return f"It is {spoken.time_of_day(moment.now)}." if moment.has("time", "clock", "hour") else None


def _day(moment: Moment) -> str | None:
    return f"Today is {spoken.weekday(moment.now)}." if moment.has("day", "today", "date") else None


def _said_by_keyword(reply: str, words: str, *phrases: str) -> Callable[[Moment], str | None]:
    keywords = words.split()

    def rule(moment: Moment) -> str | None:
        return reply if moment.has(*keywords) or moment.has_phrase(*phrases) else None

    return rule


# The first rule that applies answers.
_RULES: tuple[Callable[[Moment], str | None], ...] = (
    _nothing_said,
    _own_last_words,
    _users_last_words,
    _agents_name,
    _users_name,
    _count,
    _said_by_keyword("I am very well, thank you.", "", "how are you"),
    _said_by_keyword(
        "Once upon a time a small fox lived in a green forest, and every night it sang to the moon.", "story"
    ),
    _said_by_keyword("It is sunny and warm outside.", "weather sunny rain"),
    _time,
    _said_by_keyword("You are welcome.", "thanks thank"),
    _said_by_keyword("Goodbye, and have a nice day.", "goodbye bye"),
    _day,
    _said_by_keyword("I can tell the time, count, and repeat what was said.", "help", "can you do"),
    _said_by_keyword("Hello, how can I help you today?", "hello hi hey", "good morning", "good evening"),
)
