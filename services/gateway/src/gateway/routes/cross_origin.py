"""CORS: the web pages that may call the API, and a problem for the others."""

from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from chassis.edge import REQUEST_ID_HEADER
from chassis.problem import problem_response
from contracts.errors import ORIGIN_NOT_ALLOWED, Refused

_METHODS: Final = ("GET", "POST", "DELETE")
_ASKED: Final = ("Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Last-Event-ID", REQUEST_ID_HEADER)
_SHOWN: Final = ("Idempotent-Replayed", "Retry-After", REQUEST_ID_HEADER)


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware, which answers preflights before any key is checked; its refusals become problems.

    Args:
        origins: Such as `https://app.example`; empty: no web page may call.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app, allow_origins=tuple(origins), allow_methods=_METHODS, allow_headers=_ASKED, expose_headers=_SHOWN
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        allowed = self.is_allowed_origin(request_headers["origin"])
        detail = (
            "Web pages may not use this method or one of these headers."
            if allowed
            else "This web page's origin is not in CORS_ALLOWED_ORIGINS."
        )
        identity = uuid4().hex
        refused = problem_response(Refused(ORIGIN_NOT_ALLOWED, detail), identity)
        refused.headers[REQUEST_ID_HEADER] = identity
        refused.headers["Vary"] = answer.headers["Vary"]
        if allowed:
            refused.headers["Access-Control-Allow-Origin"] = request_headers["origin"]
        return refused
