"""Refusals of bodies that are not a JSON object: each says what is wrong, and what to do about that."""

import re
from typing import Final

from starlette.exceptions import HTTPException

from contracts.errors import MALFORMED_BODY, Refused

_JSON: Final = re.compile(r"application/(.+\+)?json", re.IGNORECASE)
_MAX_TYPE_CHARS: Final = 80
_OBJECT: Final = "Send a JSON object in braces, {...}; /docs lists its fields."


def empty() -> Refused:
    """The request has no body."""
    return Refused(MALFORMED_BODY, "The body is empty.", fix=_OBJECT)


def no_json(problem: str, at: int, body: object) -> Refused:
    """The text of a body is not JSON.

    Args:
        problem: What the parser says, which has none of the text.
        at: The position of the fault in the text.
        body: The text; without it the place is a position instead of line and column.
    """
    where = f"character {at + 1}"
    if isinstance(body, str):
        line, column = body.count("\n", 0, at) + 1, at - body.rfind("\n", 0, at)
        where = f"line {line}, column {column}"
    return Refused(
        MALFORMED_BODY,
        f"The body is not valid JSON. At {where}: {problem.removesuffix(' at')}.",
        fix=f"Correct the JSON at {where}: names and texts stand in double quotes, and no comma after the last entry.",
    )


def unreadable(error: HTTPException) -> Refused:
    """The parser failed on the bytes of a body; FastAPI's 400 has the parser's error as its cause."""
    match error.__cause__:
        case UnicodeDecodeError() as cause:
            detail = f"The body is not valid {cause.encoding.upper()}: see its byte {cause.start + 1}."
            return Refused(MALFORMED_BODY, detail, fix="Send the JSON in UTF-8.")
        case RecursionError():
            return Refused(MALFORMED_BODY, "The body's JSON is nested too deep.", fix="Send JSON with fewer levels.")
        case _:
            return Refused(MALFORMED_BODY, str(error.detail), fix=_OBJECT)


def not_an_object(content_type: str | None) -> Refused:
    """A body that was read, but not as an object: FastAPI parses it only if its Content-Type is JSON."""
    kind = (content_type or "").partition(";")[0].strip()
    if _JSON.fullmatch(kind):
        return Refused(MALFORMED_BODY, "The body is JSON, but not an object.", fix=_OBJECT)
    shown = kind.encode(errors="backslashreplace").decode()[:_MAX_TYPE_CHARS]
    given = f"Its Content-Type is {shown}" if kind else "It has no Content-Type"
    detail = f"The body was not read as JSON. {given}; add the header Content-Type: application/json."
    return Refused(MALFORMED_BODY, detail, fix="Send the body with the header Content-Type: application/json.")
