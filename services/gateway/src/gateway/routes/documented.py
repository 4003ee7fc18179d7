"""Problems in the OpenAPI document."""

from typing import Any

from contracts.errors import (
    BODY_TOO_LARGE,
    BODY_TOO_SLOW,
    DEADLINE_EXCEEDED,
    FORBIDDEN,
    FOREIGN_REQUEST,
    INTERNAL,
    INVALID_REQUEST,
    MALFORMED_BODY,
    OVERLOADED,
    UNAUTHORIZED,
    Problem,
    ProblemType,
)

PROBLEM_JSON = "application/problem+json"
ANY_ROUTE = (UNAUTHORIZED, FORBIDDEN, FOREIGN_REQUEST, INVALID_REQUEST, INTERNAL, OVERLOADED, DEADLINE_EXCEEDED)
WITH_BODY = (MALFORMED_BODY, BODY_TOO_LARGE, BODY_TOO_SLOW)


def problems(*types: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route with these problems and those of every route."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for kind in sorted({*types, *ANY_ROUTE}, key=lambda kind: (kind.status, kind.code)):
        response = by_status.setdefault(
            kind.status, {"description": "", "content": {PROBLEM_JSON: {"schema": _SCHEMA}}}
        )
        line = f"`{kind.code}`: {kind.title}. {kind.fix}"
        response["description"] = "\n\n".join(filter(None, (response["description"], line)))
    return by_status


_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}


def example(value: object) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route with an example of its JSON answer."""
    return {200: {"content": {"application/json": {"example": value}}}}
