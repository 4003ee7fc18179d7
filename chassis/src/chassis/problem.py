"""Problems over HTTP (RFC 9457): each refusal has a code, a fix and the request's id, and none leaks internals."""

import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route
from starlette.types import Scope

from chassis import logs
from chassis.body import BodyLimit
from chassis.edge import Catch, Deadline, Measure, RequestId, request_id
from chassis.headers import SecurityHeaders
from contracts.errors import (
    INTERNAL,
    INVALID_REQUEST,
    INVALID_SESSION_ID,
    MALFORMED_BODY,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    FieldError,
    Problem,
    ProblemType,
    Refused,
)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 1  # for a 503 without a retry time
_MAX_FIELDS: Final = 20
_MAX_CHARS: Final = 300
_MAX_TYPE_CHARS: Final = 80
_JSON: Final = re.compile(r"application/(.+\+)?json", re.IGNORECASE)
_PLACES: Final = frozenset({"body", "query", "path", "header", "cookie"})
_SESSION_IDS: Final = frozenset({"sessionId", "session_id"})

log = logs.get_logger(__name__)


def problem_of(refused: Refused, request_id: str) -> Problem:
    kind = refused.problem
    return Problem(
        type=f"urn:greenroom:problem:{kind.code}",
        title=kind.title,
        status=kind.status,
        detail=refused.detail,
        code=kind.code,
        fix=kind.fix,
        retryable=kind.retryable,
        fault=kind.fault,
        request_id=request_id,
        errors=refused.errors,
        session_id=refused.session_id,
    )


def problem_response(refused: Refused, request_id: str) -> Response:
    kind = refused.problem
    body = problem_of(refused, request_id)
    headers: dict[str, str] = {}
    after_s = refused.retry_after_s
    if after_s is None and kind.retryable and kind.status == HTTPStatus.SERVICE_UNAVAILABLE:
        after_s = _RETRY_AFTER_S
    if after_s is not None:
        headers["Retry-After"] = str(after_s)
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(
        body.model_dump(mode="json", exclude_none=True), status_code=kind.status, media_type=MEDIA_TYPE, headers=headers
    )


def install(
    app: Starlette,
    *,
    invalid: type[Exception] | None = None,
    max_body_bytes: int | Callable[[Scope], int] = 256 * 1024,
    body_deadline_s: float = 10.0,
    deadline_s: float = 30.0,
    guards: Sequence[Middleware] = (),
    outside: Sequence[Middleware] = (),
) -> None:
    """Make every error of this app a problem, and put the edge before it.

    From the outside in: the security headers, `outside`, the edge, `guards`, the body limit, the app. A path with an
    extra slash gets a 404: a redirect would repeat the client's Host header.

    Args:
        invalid: The exception for an invalid request, with pydantic's `errors()`: FastAPI's `RequestValidationError`.
            Not pydantic's own `ValidationError`, which our bugs raise too.
        guards: Middlewares that read only headers; they run before the first byte of the body is read.
        outside: Middlewares that must also see the responses of the edge and the guards, such as CORS.
    """

    _handle_errors(app, invalid)
    app.router.redirect_slashes = False
    stack = [
        Middleware(SecurityHeaders),
        *outside,
        Middleware(RequestId),
        Middleware(Measure),
        Middleware(Catch, refuse=problem_response),
        Middleware(Deadline, seconds=deadline_s),
        *guards,
        Middleware(BodyLimit, max_bytes=max_body_bytes, deadline_s=body_deadline_s),
    ]
    for middleware in reversed(stack):
        app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)


def _handle_errors(app: Starlette, invalid: type[Exception] | None) -> None:
    async def on_refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return problem_response(error, request_id())

    async def on_invalid(request: Request, error: Exception) -> Response:
        found: Sequence[Mapping[str, Any]] = cast(Any, error).errors()
        return problem_response(_invalid(found, request.headers.get("content-type")), request_id())

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = problem_response(_of_status(request, error), request_id())
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
        return answer

    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(HTTPException, on_http)
    if invalid is not None:
        app.add_exception_handler(invalid, on_invalid)


def _methods(request: Request) -> set[str]:
    """The methods of all routes with this path: Starlette names those of the first one only."""
    found: set[str] = set()
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
            found |= route.methods or set()
    return found


def _invalid(found: Sequence[Mapping[str, Any]], content_type: str | None) -> Refused:
    """Name each invalid field in the client's spelling, without its value: the value may be a secret."""
    if any(e["type"] == "json_invalid" for e in found):
        return Refused(MALFORMED_BODY, "The body is not valid JSON.")
    wrong = [e["type"] for e in found if tuple(e["loc"]) == ("body",) and e["type"] != "value_error"]
    if wrong:
        return Refused(MALFORMED_BODY, "The body is empty." if "missing" in wrong else _not_an_object(content_type))
    fields = tuple(FieldError(field=_name(e["loc"]), message=_shown(_message(e))) for e in found[:_MAX_FIELDS])
    names = ", ".join(field.field for field in fields)
    if all(f.field in _SESSION_IDS and e["type"].startswith("string_") for f, e in zip(fields, found, strict=False)):
        return Refused(INVALID_SESSION_ID, f"{names} is not a valid session id.", errors=fields)
    return Refused(INVALID_REQUEST, f"Invalid fields: {names}.", errors=fields)


def _not_an_object(content_type: str | None) -> str:
    """Why a body was not read as an object: FastAPI parses it only if its Content-Type is JSON."""
    kind = (content_type or "").partition(";")[0].strip()
    if _JSON.fullmatch(kind):
        return "The body is JSON, but not an object."
    given = f"Its Content-Type is {_shown(kind[:_MAX_TYPE_CHARS])}" if kind else "It has no Content-Type"
    return f"The body was not read as JSON. {given}; add the header Content-Type: application/json."


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "There is no such field here. Names are case-sensitive; /docs lists them."
    return str(error["msg"]).removeprefix("Value error, ")


def _name(location: Sequence[object]) -> str:
    parts = [str(part) for part in location]
    return _shown(".".join(parts[1:] if len(parts) > 1 and parts[0] in _PLACES else parts))


def _shown(text: str) -> str:
    """The client's text for our response: shortened, and without lone surrogates, which UTF-8 cannot encode."""
    return text.encode(errors="backslashreplace").decode()[:_MAX_CHARS]


def _of_status(request: Request, error: HTTPException) -> Refused:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Refused(NOT_FOUND, f"There is nothing at {request.url.path}.")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refused(METHOD_NOT_ALLOWED, f"{request.method} is not allowed at {request.url.path}.")
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return Refused(MALFORMED_BODY, str(error.detail))
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("http.error", status=error.status_code, detail=str(error.detail))
        return Refused(INTERNAL, "An unexpected error.")
    status = HTTPStatus(error.status_code)
    kind = ProblemType(status.name.lower(), status.value, status.phrase, "See the API's description at /docs.")
    return Refused(kind, str(error.detail))
