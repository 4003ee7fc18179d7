"""The edge of an HTTP app, as small middlewares: request id, measurement, catch, deadline.

Plain ASGI, so that streams pass through unbuffered. `problem.install` stacks them, together with `BodyLimit`.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import logs, metrics
from contracts.errors import DEADLINE_EXCEEDED, INTERNAL, Refused

REQUEST_ID_HEADER: Final = "X-Request-Id"
_WELL_FORMED: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")

_SECONDS: Final = metrics.histogram(
    "http_request_seconds", "Time until the answer began", ("method", "route", "status")
)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_request_id: ContextVar[str] = ContextVar("request_id", default="")

log = logs.get_logger(__name__)


def request_id() -> str:
    """The id of the current request; "" outside a request."""
    return _request_id.get()


class RequestId:
    """Gives each request an id, in log lines and in the response: the client's own if it is valid, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # our apps serve none; closing before the accept answers 403
            await send({"type": "websocket.close", "code": 1008})
            return
        given = _header(scope, b"x-request-id")
        identity = given if _WELL_FORMED.match(given) else uuid4().hex

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_header(message, b"x-request-id", identity.encode())
            await send(message)

        token = _request_id.set(identity)
        with structlog.contextvars.bound_contextvars(request_id=identity):
            try:
                await self._app(scope, receive, answer)
            finally:
                _request_id.reset(token)


class Measure:
    """Observes `http_request_seconds` when a response begins."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")  # the template, never the path with its ids
                method = scope["method"] if scope["method"] in _METHODS else "other"
                _SECONDS.labels(method, route, str(message["status"])).observe(time.monotonic() - started)
            await send(message)

        await self._app(scope, receive, answer)


class Catch:
    """Turns every exception into a problem, and closes the connection after a response that left a body unread.

    The unread rest of a body would be parsed as the next request.

    Args:
        refuse: Creates the response to a refusal, from the refusal and the request's id.
    """

    def __init__(self, app: ASGIApp, *, refuse: Callable[[Refused, str], Response]) -> None:
        self._app = app
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body_is_due = _announces_body(scope)
        has_begun = False

        async def heard() -> Message:
            nonlocal body_is_due
            message = await receive()
            body_is_due = body_is_due and message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                if body_is_due:
                    _add_header(message, b"connection", b"close")
            await send(message)

        try:
            await self._app(scope, heard, answer)
        except Refused as error:
            refused = error
        except Exception as error:
            log.error("http.bug", method=scope["method"], path=scope["path"], exc_info=error)
            refused = Refused(INTERNAL, "An unexpected error.")
        else:
            return
        if has_begun:  # too late for a status: break the connection, so that the response does not look complete
            raise RuntimeError("the response broke off")
        await self._refuse(refused, request_id())(scope, receive, answer)


class Deadline:
    """Refuses a request with 504 when its response has not begun in time; a stream may then continue for any time.

    Args:
        seconds: From the request's headers to the first byte of the response.
    """

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = asyncio.timeout(self._seconds)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                limit.reschedule(None)
            await send(message)

        try:
            async with limit:
                await self._app(scope, receive, answer)
        except TimeoutError:
            if not limit.expired():
                raise
            log.error("http.too_slow", method=scope["method"], path=scope["path"], deadline_s=self._seconds)
            raise Refused(DEADLINE_EXCEEDED, f"No answer within {self._seconds:g} s.") from None


def _announces_body(scope: Scope) -> bool:
    return _header(scope, b"transfer-encoding") != "" or _header(scope, b"content-length") not in ("", "0")


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1").strip() for key, value in scope["headers"] if key == name), "")


def _add_header(message: Message, name: bytes, value: bytes) -> None:
    message["headers"] = [*message.get("headers", ()), (name, value)]
