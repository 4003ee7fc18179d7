"""CORS: which web pages may call the API, and an answer that says so to those that may not."""

from collections.abc import Sequence
from typing import Final
from uuid import uuid4

from chassis.edge import REQUEST_ID_HEADER
from chassis.problem import problem_response
from contracts.errors import ORIGIN_NOT_ALLOWED, Refused
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

_METHODS: Final = ("GET", "POST", "DELETE")
_ASKED: Final = ("Authorization", "X-API-Key", "Content-Type", "Idempotency-Key", "Last-Event-ID", REQUEST_ID_HEADER)
_SHOWN: Final = ("Idempotent-Replayed", "Retry-After", REQUEST_ID_HEADER)


class CrossOrigin(CORSMiddleware):
    """Starlette's, which answers preflights itself, before any key is asked for; its refusals are problems.

    Args:
        origins: `https://app.example` each; none: no web page may call.
    """

    def __init__(self, app: ASGIApp, *, origins: Sequence[str]) -> None:
        super().__init__(
            app, allow_origins=tuple(origins), allow_methods=_METHODS, allow_headers=_ASKED, expose_headers=_SHOWN
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a browser that asks whether it may."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        allowed = self.is_allowed_origin(request_headers["origin"])
        detail = (
            "The method or a header is not allowed from web pages."
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
