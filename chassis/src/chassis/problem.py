"""Problems over HTTP (RFC 9457): each refusal has a code, a fix and the request's id, and none leaks internals."""

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
from chassis.errors import validation_text
from chassis.headers import SecurityHeaders
from chassis.malformed import empty, no_json, not_an_object, unreadable
from chassis.spelling import meant
from contracts.errors import (
    INTERNAL,
    INVALID_REQUEST,
    INVALID_SESSION_ID,
    METHOD_NOT_ALLOWED,
    MOST_FIELDS,
    NOT_FOUND,
    FieldError,
    Problem,
    ProblemType,
    Refused,
    invalid_fields,
)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 1  # for a 503 without a retry time
_MAX_CHARS: Final = 300
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
        fix=refused.fix,
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
        refused = _malformed(found, error, request.headers.get("content-type"))
        return problem_response(refused or _invalid(found, request.scope.get("endpoint")), request_id())

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


def _malformed(found: Sequence[Mapping[str, Any]], error: Exception, content_type: str | None) -> Refused | None:
    """The refusal of a body that is not a JSON object; None for an object with invalid fields."""
    for each in found:
        if each["type"] == "json_invalid":
            return no_json(str(each["ctx"]["error"]), int(each["loc"][-1]), getattr(error, "body", None))
    wrong = [e["type"] for e in found if tuple(e["loc"]) == ("body",) and e["type"] != "value_error"]
    if not wrong:
        return None
    return empty() if "missing" in wrong else not_an_object(content_type)


def _invalid(found: Sequence[Mapping[str, Any]], endpoint: Callable[..., object] | None) -> Refused:
    """Name each invalid field in the client's spelling, without its value: the value may be a secret."""
    found = found[:MOST_FIELDS]
    near = [_near(e, found, endpoint) for e in found]
    fields = tuple(
        FieldError(field=_name(e["loc"]), message=_shown(_message(e, known)))
        for e, known in zip(found, near, strict=True)
    )
    names = ", ".join(field.field for field in fields)
    if all(f.field in _SESSION_IDS and e["type"].startswith("string_") for f, e in zip(fields, found, strict=True)):
        return Refused(INVALID_SESSION_ID, f"{names} is not a valid session id.", errors=fields)
    instead = ", ".join(f"{known} for {f.field}" for f, known in zip(fields, near, strict=True) if known)
    fix = f"{INVALID_REQUEST.fix} Did you mean {instead}?" if instead else None
    return invalid_fields(fields, fix=fix)


def _near(
    error: Mapping[str, Any], found: Sequence[Mapping[str, Any]], endpoint: Callable[..., object] | None
) -> str | None:
    """The field that an unknown one is probably meant to be."""
    if endpoint is None or error["type"] != "extra_forbidden":
        return None
    place = error["loc"][:-1]
    missing = [each["loc"][-1] for each in found if each["type"] == "missing" and each["loc"][:-1] == place]
    return meant(endpoint, error["loc"][1:], missing)


def _message(error: Mapping[str, Any], near: str | None) -> str:
    if error["type"] == "extra_forbidden":
        wanted = f"; did you mean {near}?" if near else "."
        return f"There is no such field here{wanted} Names are case-sensitive; /docs lists them."
    return validation_text(error)


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
        return unreadable(error)
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("http.error", status=error.status_code, detail=str(error.detail))
        return Refused(INTERNAL, "An unexpected error.")
    status = HTTPStatus(error.status_code)
    kind = ProblemType(status.name.lower(), status.value, status.phrase, "See the API's description at /docs.")
    return Refused(kind, str(error.detail))
