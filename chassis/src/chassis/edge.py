"""What stands before an HTTP app: a request id, a deadline, and no bare 500.

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
from contracts.errors import DEADLINE_EXCEEDED, INTERNAL, Refused
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import logs, metrics

REQUEST_ID_HEADER: Final = "X-Request-Id"
_WELL_FORMED: Final = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")

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
    """The outermost guard; what is inside may refuse by raising `Refused`.

    Args:
        refuse: Makes the answer to a refusal, with the request's id.
        deadline_s: Until the answer begins; then a stream may go on for as long as it likes.
    """

    def __init__(self, app: ASGIApp, *, refuse: Callable[[Refused, str], Response], deadline_s: float) -> None:
        self._app = app
        self._refuse = refuse
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # no app of ours has one; closing before it is accepted answers 403
            await send({"type": "websocket.close", "code": 1008})
            return
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
        body_is_due = _announces_body(scope)
        began = False

        async def heard() -> Message:
            nonlocal body_is_due
            message = await receive()
            body_is_due = body_is_due and message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                if refusal is None:
                    limit.reschedule(None)
                message.setdefault("headers", [])
                message["headers"] = [*message["headers"], (b"x-request-id", identity.encode())]
                if body_is_due:  # what is left of it would be taken for the next request
                    message["headers"].append((b"connection", b"close"))
                _observe(scope, message["status"], time.monotonic() - started)
            await send(message)

        refusal: Response | None = None
        try:
            async with limit:
                await self._app(scope, heard, answer)
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


def _announces_body(scope: Scope) -> bool:
    return _header(scope, b"transfer-encoding") != "" or _header(scope, b"content-length") not in ("", "0")


def _header(scope: Scope, name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1").strip()
    return ""


def _observe(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "other")  # the template, never the path with its ids
    method = scope["method"] if scope["method"] in _METHODS else "other"
    _SECONDS.labels(method, route, str(status)).observe(seconds)
