"""What stands before an HTTP app: a request id, a bound on the body, a deadline, and no bare 500.

Plain ASGI, so that streams pass through.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

import structlog
from contracts.errors import BODY_TOO_LARGE, INTERNAL, ProblemType, Refused
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import logs, metrics

REQUEST_ID_HEADER: Final = "X-Request-Id"
_WELL_FORMED: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")

DEADLINE_EXCEEDED: Final = ProblemType(
    "deadline_exceeded",
    504,
    "The answer took too long",
    "Repeat the request; look for the request id in the logs.",
    True,
)

_SECONDS: Final = metrics.histogram(
    "http_request_seconds", "Time until the answer began", ("method", "route", "status")
)
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})

_request_id: ContextVar[str] = ContextVar("request_id", default="")

log = logs.get_logger(__name__)


def request_id() -> str:
    """The id of the request that is being answered; "" outside one."""
    return _request_id.get()


class Edge:
    """The four guards in one middleware.

    Args:
        refuse: Makes the answer to a refusal, with the request's id.
        max_body_bytes: A longer body is a 413, whether it is announced or chunked. The body is read before the app is
            called, so a slow sender is under the deadline too.
        deadline_s: Until the answer begins; then a stream may go on for as long as it likes.
    """

    def __init__(
        self, app: ASGIApp, *, refuse: Callable[[Refused, str], Response], max_body_bytes: int, deadline_s: float
    ) -> None:
        self._app = app
        self._refuse = refuse
        self._max_body_bytes = max_body_bytes
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        name = _header(scope, b"x-request-id")
        identity = name if _WELL_FORMED.match(name) else uuid4().hex
        token = _request_id.set(identity)
        with structlog.contextvars.bound_contextvars(request_id=identity):
            try:
                await self._answer(scope, receive, send, identity)
            finally:
                _request_id.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, identity: str) -> None:
        started = time.monotonic()
        limit = asyncio.timeout(self._deadline_s)
        began = False

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                if refusal is None:
                    limit.reschedule(None)
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
                _observe(scope, message["status"], time.monotonic() - started)
            await send(message)

        refusal: Response | None = None
        try:
            async with limit:
                await self._app(scope, await self._bounded(scope, receive), answer)
        except Exception as error:
            refusal = self._refuse(self._why(error, scope, late=limit.expired()), identity)
        if refusal is None:
            return
        if began:  # too late for a status: cut the connection rather than end the answer as if it were whole
            raise RuntimeError("the answer broke off")
        await refusal(scope, receive, answer)

    def _why(self, error: Exception, scope: Scope, *, late: bool) -> Refused:
        if isinstance(error, Refused):
            return error
        if isinstance(error, TimeoutError) and late:
            log.error("http.too_slow", method=scope["method"], path=scope["path"], deadline_s=self._deadline_s)
            return Refused(DEADLINE_EXCEEDED, f"no answer within {self._deadline_s:g} s")
        log.error("http.bug", method=scope["method"], path=scope["path"], exc_info=error)
        return Refused(INTERNAL, "an unexpected error")

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        """Read the whole body, up to the limit, and hand it on as one message."""
        announced = _header(scope, b"content-length")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            raise self._too_large()
        body = bytearray()
        ends: Message = {"type": "http.request", "more_body": True}
        while ends.get("more_body", False):  # a disconnect has no such key
            ends = await receive()
            body += ends.get("body", b"")
            if len(body) > self._max_body_bytes:
                raise self._too_large()
        whole = {"type": "http.request", "body": bytes(body), "more_body": False}
        pending = [whole if ends["type"] == "http.request" else ends]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        return replay

    def _too_large(self) -> Refused:
        return Refused(BODY_TOO_LARGE, f"the body is longer than {self._max_body_bytes} bytes")


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1").strip()
    return ""


def _observe(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")  # the template, never the path with its ids
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _SECONDS.labels(method, route, str(status)).observe(seconds)
