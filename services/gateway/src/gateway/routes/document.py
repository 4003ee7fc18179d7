"""The OpenAPI document: FastAPI's, completed with security, headers and links.

The links say which values of one answer the next request needs; a test follows them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from contracts.errors import Problem

_KEY: Final = "One of GREENROOM_API_KEYS, with the operation's scope. For backends: a key in a web page is public."
_SCHEMES: Final[dict[str, dict[str, str]]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": _KEY},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
    "livekit": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "LiveKit's JWT over the SHA-256 of the raw body, without `Bearer`.",
    },
}
_OWN_SECURITY: Final[dict[str, list[dict[str, Any]]]] = {
    "/health": [],
    "/ready": [],
    "/metrics": [],
    "/livekit/webhook": [{"livekit": []}],
    "/v1/console": [],
}

_REQUEST_ID: Final[dict[str, Any]] = {
    "description": "The request's id, as in the logs: the client's own if it is valid.",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}

_SESSION = "$response.body#/sessionId"
_OF_SESSION: Final[dict[str, dict[str, Any]]] = {
    "session": {"operationId": "get_session", "parameters": {"path.session_id": _SESSION}},
    "token": {
        "operationId": "issue_token",
        "requestBody": {"sessionId": _SESSION, "userId": "$request.body#/userName"},
        "description": "`userId` is the start's `userId` if it had one.",
    },
    "progress": {"operationId": "follow_start", "parameters": {"path.session_id": _SESSION}},
    "timeline": {"operationId": "get_session_timeline", "parameters": {"path.session_id": _SESSION}},
    "end": {"operationId": "end_session", "requestBody": {"sessionId": _SESSION}},
    "bill": {"operationId": "get_session_bill", "parameters": {"path.session_id": _SESSION}},
}
_ENDED = "$response.body#/details/session_id"
_FIRST: Final = "$response.body#/items/0/sessionId"
_LINKS: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "start_session": _OF_SESSION,
    "start_session_alias": _OF_SESSION,
    "end_session": {
        "again": {"operationId": "end_session", "requestBody": {"sessionId": _ENDED}},
        "session": {"operationId": "get_session", "parameters": {"path.session_id": _ENDED}},
        "bill": {"operationId": "get_session_bill", "parameters": {"path.session_id": _ENDED}},
    },
    "list_sessions": {
        "next": {"operationId": "list_sessions", "parameters": {"query.cursor": "$response.body#/nextCursor"}},
        "session": {
            "operationId": "get_session",
            "parameters": {"path.session_id": _FIRST},
        },
    },
    "get_session": {"user": {"operationId": "get_user_bill", "parameters": {"path.user": "$response.body#/userId"}}},
    "find_sessions": {
        "next": {"operationId": "find_sessions", "parameters": {"query.cursor": "$response.body#/nextCursor"}},
        "detail": {"operationId": "get_session_detail", "parameters": {"path.session_id": _FIRST}},
        "timeline": {"operationId": "get_session_timeline", "parameters": {"path.session_id": _FIRST}},
    },
    "list_nodes": {
        "drain": {"operationId": "drain_node", "parameters": {"path.nodeId": "$response.body#/items/0/nodeId"}}
    },
    "get_stats": {
        "drain": {"operationId": "drain_node", "parameters": {"path.nodeId": "$response.body#/pool/0/nodeId"}}
    },
}


def document(
    app: FastAPI, routes: Iterable[BaseRoute], *, scopes: Mapping[str, str | None], needs_key: bool
) -> dict[str, Any]:
    """Describe the API; the result is cached in `app.openapi_schema`.

    Args:
        routes: Those of the API.
        scopes: The required scope by operation id.
        needs_key: API keys are configured, so a request without one is refused.
    """
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas: dict[str, Any] = made["components"]["schemas"]
        schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs") | {Problem.__name__: schema}
        made["components"]["securitySchemes"] = _SCHEMES
        for path, operation in _operations(made):
            _secure(path, operation, scopes.get(operation["operationId"]), needs_key=needs_key)
            _complete(operation)
        for route in routes:
            if isinstance(route, APIRoute):
                _show_nulls(made["paths"][route.path_format], route)
        app.openapi_schema = made
    return app.openapi_schema


def _show_nulls(operations: dict[str, Any], route: APIRoute) -> None:
    """Write the route's examples again: FastAPI leaves the fields out that are null."""
    for method in route.methods or ():
        for status, response in route.responses.items():
            written = operations[method.lower()]["responses"][str(status)].get("content", {})
            for kind, content in response.get("content", {}).items():
                if "example" in content:
                    written[kind]["example"] = content["example"]


def _operations(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in made["paths"].items():
        for operation in methods.values():
            yield path, operation


def _secure(path: str, operation: dict[str, Any], scope: str | None, *, needs_key: bool) -> None:
    if path in _OWN_SECURITY:
        operation["security"] = _OWN_SECURITY[path]
        return
    named = [] if scope is None else [str(scope)]
    keys: list[dict[str, Any]] = [{"bearer": named}, {"apiKey": named}]
    operation["security"] = keys if needs_key else [*keys, {}]
    operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()


def _complete(operation: dict[str, Any]) -> None:
    for response in operation["responses"].values():
        response.setdefault("headers", {})["X-Request-Id"] = _REQUEST_ID
    links = _LINKS.get(operation["operationId"])
    if links:
        operation["responses"]["200"]["links"] = links
