"""Problems over HTTP (RFC 9457): every refusal has a code, a fix and the request's id, and none shows our insides."""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any, Final

from contracts.errors import (
    INTERNAL,
    INVALID_REQUEST,
    MALFORMED_BODY,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    FieldError,
    Problem,
    ProblemType,
    Refused,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from chassis import logs
from chassis.body import BoundedBody
from chassis.edge import Edge, request_id
from chassis.headers import SecurityHeaders

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_S: Final = 1  # for a 503 that names no time of its own
_MAX_FIELDS: Final = 20

log = logs.get_logger(__name__)


def problem_of(refused: Refused, request_id: str) -> Problem:
    """The problem that tells of a refusal."""
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
    """The answer to a refused request."""
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
    validation_errors: Sequence[type[Exception]] = (),
    translate: Callable[[Exception], Refused | None] | None = None,
    max_body_bytes: int | Callable[[Scope], int] = 256 * 1024,
    body_deadline_s: float = 10.0,
    deadline_s: float = 30.0,
    guards: Sequence[Middleware] = (),
    outside: Sequence[Middleware] = (),
) -> None:
    """Make every error of this app a problem, and put the edge before it.

    From outside in: the security headers, `outside`, the edge, `guards`, the body's reader, the app. A path with a
    slash too many is a 404: a redirect would repeat the Host header to the caller.

    Args:
        validation_errors: Exceptions with pydantic's `errors()` that mean a bad request: FastAPI's
            `RequestValidationError`. Not pydantic's own, which a bug of ours raises too.
        guards: Look at headers alone, before a byte of the body is read.
        outside: What must also see the answers of the edge and the guards, such as CORS.
        translate: Turns other exceptions into a refusal, such as `BusUnavailable`; None: it is a bug.
    """

    async def on_refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return problem_response(error, request_id())

    async def on_invalid(_request: Request, error: Exception) -> Response:
        return problem_response(_invalid(error), request_id())

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        answer = problem_response(_of_status(request, error), request_id())
        answer.headers.update(error.headers or {})
        return answer

    app.add_exception_handler(Refused, on_refused)
    app.add_exception_handler(HTTPException, on_http)
    for kind in validation_errors:
        app.add_exception_handler(kind, on_invalid)
    app.router.redirect_slashes = False
    app.add_middleware(_Translate, translate=translate)
    app.add_middleware(BoundedBody, max_bytes=max_body_bytes, deadline_s=body_deadline_s)
    for guard in reversed(guards):
        app.add_middleware(guard.cls, *guard.args, **guard.kwargs)
    app.add_middleware(Edge, refuse=problem_response, deadline_s=deadline_s)
    for middleware in reversed(outside):
        app.add_middleware(middleware.cls, *middleware.args, **middleware.kwargs)
    app.add_middleware(SecurityHeaders)


class _Translate:
    """Between the edge and the app: names the exceptions that are refusals."""

    def __init__(self, app: Any, *, translate: Callable[[Exception], Refused | None] | None) -> None:
        self._app = app
        self._translate = translate

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:
            refused = self._translate(error) if self._translate is not None else None
            if refused is None:
                raise
            raise refused from error


def _invalid(error: Exception) -> Refused:
    found: list[dict[str, Any]] = list(getattr(error, "errors", list)())
    if any(e.get("type") == "json_invalid" for e in found):
        return Refused(MALFORMED_BODY, "the body is no valid JSON")
    fields = tuple(
        FieldError(field=".".join(str(part) for part in e.get("loc", ())) or "body", message=str(e.get("msg", "")))
        for e in found[:_MAX_FIELDS]
    )
    names = ", ".join(field.field for field in fields)
    return Refused(INVALID_REQUEST, f"cannot be taken: {names}", errors=fields)


def _of_status(request: Request, error: HTTPException) -> Refused:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return Refused(NOT_FOUND, f"there is nothing at {request.url.path}")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refused(METHOD_NOT_ALLOWED, f"{request.method} is not allowed at {request.url.path}")
    if error.status_code == HTTPStatus.BAD_REQUEST:
        return Refused(MALFORMED_BODY, str(error.detail))
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("http.error", status=error.status_code, detail=str(error.detail))
        return Refused(INTERNAL, "an unexpected error")
    status = HTTPStatus(error.status_code)
    kind = ProblemType(status.name.lower(), status.value, status.phrase, "See the API's description at /docs.")
    return Refused(kind, str(error.detail))
