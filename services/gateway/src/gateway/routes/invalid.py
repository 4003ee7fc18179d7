"""Requests that fail validation."""

from collections.abc import Sequence
from typing import Any

from contracts.errors import INVALID_REQUEST, INVALID_SESSION_ID, MALFORMED_BODY, FieldError, Refused
from fastapi import Request
from fastapi.exceptions import RequestValidationError

_MAX_FIELDS = 20
_MAX_CHARS = 300
_PLACES = frozenset({"body", "query", "path", "header", "cookie"})


def refusal(error: RequestValidationError, request: Request) -> Refused:
    """The refusal, with each field as the client spelt it, but without the values: they may be secret."""
    found: Sequence[dict[str, Any]] = error.errors()
    if any(e["type"] == "json_invalid" for e in found):
        return Refused(MALFORMED_BODY, "The body is not valid JSON.")
    if any(tuple(e["loc"]) == ("body",) and e["type"] != "value_error" for e in found):
        given = request.headers.get("content-type", "none")[:80]
        hint = "" if given.startswith("application/json") else f", not {given}"
        return Refused(MALFORMED_BODY, f"Send a JSON object with Content-Type application/json{hint}.")
    fields = tuple(FieldError(field=_name(e["loc"]), message=_shown(str(e["msg"]))) for e in found[:_MAX_FIELDS])
    names = ", ".join(field.field for field in fields)
    if all(_is_malformed_id(field.field, e["type"]) for field, e in zip(fields, found, strict=False)):
        return Refused(INVALID_SESSION_ID, f"{names} is not a valid session id.", errors=fields)
    return Refused(INVALID_REQUEST, f"Invalid fields: {names}.", errors=fields)


def _is_malformed_id(field: str, kind: str) -> bool:
    return field in ("sessionId", "session_id") and kind.startswith("string_")


def _name(location: Sequence[object]) -> str:
    parts = [str(part) for part in location]
    return _shown(".".join(parts[1:] if len(parts) > 1 and parts[0] in _PLACES else parts))


def _shown(text: str) -> str:
    """Cut a text of the client to 300 characters, and escape lone surrogates, which UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()[:_MAX_CHARS]
