"""A line of a library without the values in it: what its source code says, which cannot be what people say."""

import ast
import linecache
import re
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias, TypeGuard

GONE: Final = "…"
"""Stands for a value."""

_LONGEST_CALL: Final = 25  # lines of source
_LEVELS: Final = frozenset({"info", "success", "warning", "error", "exception", "critical"})
_NAME: Final = re.compile(r"[A-Za-z_]\w*#\d+")  # of a processor or a frame
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")
_NAMES: Final = (
    "self",
    "self.name",
    "self._name",
    "processor",
    "frame.processor",
    "frame",
    "error_message",
    "service.name",
)
_NUMBERS: Final = (
    *("attempt", "attempt_number", "connection_duration", "last.lineno", "timeout", "wait_time", "self.send_timeout"),
    *("self._quick_failure_tracker.count", "self._quick_failure_tracker.max_consecutive_failures"),
)
_HARMLESS: Final = {
    **dict.fromkeys(_NAMES, _NAME),
    **dict.fromkeys(_NUMBERS, _NUMBER),
    "e": re.compile(r".*?\b(HTTP \d{3})\b", re.DOTALL),
    "context_id": re.compile(r"[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}"),
    "event_name": re.compile(r"on_\w+"),
    "last.filename": re.compile(r"[\w./-]+\.py"),
}
"""Expression in the source -> what is kept of its value: the group, or else the match, at the value's beginning."""

Template: TypeAlias = tuple[tuple[str, bool], ...]
"""Parts of a message in order: a text of the source code, or (True) the expression of a value."""


def without_values(file: str, line: int, function: str, message: str) -> str:
    """The message with GONE for each value; with the function's name if the source has no text at this place.

    Args:
        file: Path of the source file.
        line: Where the logger's call begins, from 1.
    """
    parts = template(file, line) or (("", True),)
    pattern = "".join("(.*?)" if is_value else re.escape(part) for part, is_value in parts)
    found = re.fullmatch(pattern, message, re.DOTALL)
    values = iter(found.groups() if found is not None else [""] * len(parts))
    text = "".join(_kept(part, next(values)) if is_value else part for part, is_value in parts)
    return f"{function}: {text}" if all(is_value for _, is_value in parts) else text


@lru_cache(maxsize=256)
def template(file: str, line: int) -> Template | None:
    """The message of the logger's call that begins at this line."""
    source = ""
    for n in range(line, line + _LONGEST_CALL):
        if not (more := linecache.getline(file, n)):
            return None
        source += more
        try:
            tree = ast.parse(textwrap.dedent(source))
        except SyntaxError:
            continue
        call = next((node for node in ast.walk(tree) if is_logged(node)), None)
        return None if call is None else _merged(_parts(call.args[0], has_arguments=len(call.args) > 1))
    return None


def is_logged(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether this is the call of a logger at INFO or above."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _LEVELS
        and "logger" in ast.unparse(node.func.value)
        and bool(node.args)
    )


def _kept(expression: str, value: str) -> str:
    if (harmless := _HARMLESS.get(expression)) is None or (found := harmless.match(value)) is None:
        return GONE
    kept = found[found.lastindex or 0]
    return kept if kept == value else kept + GONE


def _parts(node: ast.expr, *, has_arguments: bool) -> Iterator[tuple[str, bool]]:
    match node:
        case ast.Constant(value=str(text)) if has_arguments:  # loguru fills its braces
            for n, part in enumerate(re.split(r"\{([^{}]*)\}", text)):
                yield part, n % 2 == 1
        case ast.Constant(value=str(text)):
            yield text, False
        case ast.JoinedStr(values=values):
            for value in values:
                yield from _parts(value, has_arguments=False)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            yield from _parts(left, has_arguments=has_arguments)
            yield from _parts(right, has_arguments=has_arguments)
        case ast.FormattedValue(value=value):
            yield ast.unparse(value), True
        case _:
            yield ast.unparse(node), True


def _merged(parts: Iterator[tuple[str, bool]]) -> Template:
    """Without empty texts, and neighbouring values as one: nothing would tell where the first ends."""
    merged: list[tuple[str, bool]] = []
    for part, is_value in parts:
        if is_value and merged and merged[-1][1]:
            merged[-1] = (f"{merged[-1][0]} {part}", True)
        elif part:
            merged.append((part, is_value))
    return tuple(merged)
