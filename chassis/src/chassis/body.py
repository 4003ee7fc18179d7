"""The body limit: reads the whole body before the app runs, up to a size and within a separate deadline."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import BODY_TOO_LARGE, BODY_TOO_SLOW, Refused


class BodyLimit:
    """Passes the body on as one message. Guards that read only headers run before it.

    Args:
        max_bytes: A longer body gets a 413, chunked or not; a function when the limit depends on the request.
        deadline_s: Seconds from the headers to the last byte of the body.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int | Callable[[Scope], int], deadline_s: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._deadline_s = deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            receive = await self._bounded(scope, receive)
        await self._app(scope, receive, send)

    async def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        most = self._max_bytes(scope) if callable(self._max_bytes) else self._max_bytes
        if announced.isdigit() and int(announced) > most:
            raise _too_large(most)
        limit = asyncio.timeout(self._deadline_s)
        try:
            async with limit:
                body, last = await _whole(receive, most)
        except TimeoutError:
            if not limit.expired():
                raise
            raise Refused(BODY_TOO_SLOW, f"The body was not complete within {self._deadline_s:g} s.") from None
        whole = {"type": "http.request", "body": body, "more_body": False}
        pending = [whole if last["type"] == "http.request" else last]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        return replay


async def _whole(receive: Receive, most: int) -> tuple[bytes, Message]:
    body = bytearray()
    last: Message = {"type": "http.request", "more_body": True}
    while last.get("more_body", False):  # a disconnect has no such key
        last = await receive()
        body += last.get("body", b"")
        if len(body) > most:
            raise _too_large(most)
    return bytes(body), last


def _too_large(most: int) -> Refused:
    return Refused(BODY_TOO_LARGE, f"The body is longer than {most} bytes.")
