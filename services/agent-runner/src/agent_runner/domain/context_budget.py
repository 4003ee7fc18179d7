"""The model's context in a long call: recent turns, short tool results, and a summary of the rest."""

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, cast

SUMMARY: Final = "Summary of the conversation so far: "
"""The beginning of the message that stands for older turns."""

LONGEST_RESULT: Final = 1024
"""Characters of a tool's result that stay once it is answered from."""

_CUT: Final = " (the rest is left out)"
_OTHER_ALPHABETS: Final = "\u0370"  # the first character of Greek; Cyrillic, Arabic, Devanagari and Thai follow
_IDEOGRAMS: Final = "\u2e80"  # the first of Chinese; Japanese, Korean and emoji follow
_PER_MESSAGE: Final = 10


def tokens(messages: Sequence[Any]) -> int:
    """An estimate: a token for four Latin characters, two of another alphabet, or one of Chinese, Japanese or Korean.

    Tokenizers differ; those of smaller vocabularies need that many.
    """
    return sum(_PER_MESSAGE + _tokens_of(_text(message)) for message in messages)


def _tokens_of(text: str) -> int:
    if text.isascii():
        return len(text) // 4
    ideograms = sum(character >= _IDEOGRAMS for character in text)
    others = sum(_OTHER_ALPHABETS <= character < _IDEOGRAMS for character in text)
    return (len(text) + others + 3 * ideograms) // 4


def shrunk(messages: Sequence[Any], untold: Container[str] = (), *, and_newest: bool = False) -> list[Any]:
    """Cut the results of tools that an answer and a later question follow; with `and_newest` all.

    Args:
        untold: Contents that the model has not answered from: what was said behind them may be a line of the agent.
    """
    newest = len(messages) if and_newest else _last_answer(messages)
    return [
        _cut(message) if at < newest and (and_newest or str(_fields(message).get("content")) not in untold) else message
        for at, message in enumerate(messages)
    ]


def newest_results(messages: Sequence[Any]) -> list[str]:
    """The results of tools that stand behind the newest question, and longer than what stays of them."""
    start = _last_question(messages)
    found = ((message, _fields(message).get("content")) for message in messages[start:])
    return [content for message, content in found if isinstance(content, str) and _cut(message) is not message]


def within(messages: Sequence[Any], most_tokens: int) -> list[Any]:
    """Leave out the oldest turns until the rest fits; a summary at the start and the turn in progress always stay."""
    head = [*messages[:1]] if messages and _text(messages[0]).startswith(SUMMARY) else []
    left = most_tokens - tokens(head)
    starts = [at for at, message in enumerate(messages) if at >= len(head) and _role(message) == "user"]
    if tokens(messages[len(head) :]) <= left or not starts:
        return [*messages]
    start = next((at for at in starts if tokens(messages[at:]) <= left), starts[-1])
    return [*head, *messages[start:]]


def smaller(messages: Sequence[Any], budget: int) -> list[Any] | None:
    """What to send instead of a context that a server refused as too large; None: it cannot be smaller.

    Results are short and the rest is within the budget; if it was already, or without one (0), half of it: a server
    may take less than the budget, and count more tokens than the estimate.
    """
    short = shrunk(messages, and_newest=True)
    half = tokens(short) // 2
    found = (within(short, most) for most in (budget or half, half))
    return next((kept for kept in found if kept != [*messages]), None)


def newest_question(messages: Sequence[Any]) -> Any:
    """The caller's newest message; None when a summary stands for it."""
    asked = (message for message in reversed(messages) if _role(message) == "user")
    return next((message for message in asked if not _text(message).startswith(SUMMARY)), None)


def _last_question(messages: Sequence[Any]) -> int:
    return max((at for at, message in enumerate(messages) if _role(message) == "user"), default=0)


def _last_answer(messages: Sequence[Any]) -> int:
    """The place of the agent's last words before the newest question."""
    newest = _last_question(messages)
    return max((at for at in range(newest) if _role(messages[at]) == "assistant" and _is_text(messages[at])), default=0)


def _is_text(message: Any) -> bool:
    return bool(_fields(message).get("content")) and not _fields(message).get("tool_calls")


def _cut(message: Any) -> Any:
    content = _fields(message).get("content") if _role(message) in ("tool", "developer") else None
    if not isinstance(content, str) or len(content) <= LONGEST_RESULT + len(_CUT):
        return message
    return {**_fields(message), "content": content[:LONGEST_RESULT] + _CUT}


def _role(message: Any) -> str:
    return str(_fields(message).get("role", ""))


def _text(message: Any) -> str:
    fields = _fields(message)
    calls = fields.get("tool_calls")
    return str(fields.get("content") or "") + (str(calls) if calls else "")


def _fields(message: Any) -> Mapping[str, Any]:
    """A message in the usual form; Pipecat has others, for single providers, which are left alone."""
    return cast("Mapping[str, Any]", message) if isinstance(message, Mapping) else {}
