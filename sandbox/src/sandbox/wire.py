"""Connections with injected faults, between Starlette and the three services."""

import asyncio
import hmac
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from sandbox.faults import Fault, Service, When
from sandbox.stage import Stage

ABORT = "sandbox.abort"
FREEZE = "sandbox.freeze"
LONGEST_BODY = 1 << 20
SILENCE_S = 3600
LONGEST_REASON = 120
GARBAGE = '{"type": "Turn", "transcript": \x00 not json'


class Dropped(Exception):
    """The connection was cut on purpose; the server closes the socket and logs nothing."""


class BodyRefused(Exception):
    """The body is too large or not valid JSON; `status` and `message` give the cause."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def is_key(given: str | None, expected: str) -> bool:
    return given is not None and hmac.compare_digest(given.encode(), expected.encode())


def json_object(value: Any) -> dict[str, Any] | None:
    """`value` if it is a JSON object."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


async def json_body(request: Request) -> Any:
    """Parse the request's JSON.

    Raises:
        BodyRefused: It exceeds `LONGEST_BODY` bytes, or is not valid JSON.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise BodyRefused(413, f"request body over {LONGEST_BODY} bytes")
    try:
        return json.loads(bytes(body))
    except ValueError as error:
        raise BodyRefused(400, f"invalid JSON: {error}") from error


def status_response(fault: Fault, body: Mapping[str, Any]) -> Response:
    headers = {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}
    return JSONResponse(body if fault.body is None else fault.body, status_code=fault.status, headers=headers)


async def strike_http(stage: Stage, service: Service, when: When, about: Mapping[str, str]) -> Fault | None:
    """Apply the faults of this moment; return the one that the service itself must answer.

    Raises:
        Dropped: The connection must be cut.
    """
    for fault in stage.faults.take(service, when, about):
        if fault.kind == "latency":
            await asyncio.sleep(fault.latency_ms / 1000)
        elif fault.kind == "silence":
            await asyncio.sleep(SILENCE_S)
        elif fault.kind in ("drop", "close"):
            raise Dropped
        else:
            return fault
    return None


async def strike_answer(stage: Stage, service: Service, about: Mapping[str, str]) -> bool:
    """Apply the faults amid an answer; True when it must be garbage.

    Raises:
        Dropped: The connection must be cut.
    """
    fault = await strike_http(stage, service, "answer", about)
    if fault is not None and fault.kind == "error":
        raise Dropped
    return fault is not None


def abort(connection: HTTPConnection) -> None:
    """Cut the connection without a closing handshake."""
    connection.scope["extensions"][ABORT]()


class Line:
    """A service's WebSocket whose messages are subject to the active faults."""

    def __init__(
        self,
        socket: WebSocket,
        stage: Stage,
        service: Service,
        about: Mapping[str, str],
        error: Callable[[int, str], Mapping[str, Any]],
    ) -> None:
        self.socket, self.stage, self.about = socket, stage, about
        self._service: Service = service
        self._error = error
        self._mute = False

    async def open(self, denied: Response | None, fault_body: Mapping[str, Any]) -> bool:
        """Answer the handshake: with `denied` if given, with a fault, or by accepting. True when open."""
        fault = None
        for struck in self.stage.faults.take(self._service, "request", self.about):
            if struck.kind == "latency":
                await asyncio.sleep(struck.latency_ms / 1000)
            else:
                fault = struck
        if fault is not None and fault.kind == "status":
            denied = status_response(fault, fault_body)
        if denied is not None:
            await self.socket.send_denial_response(denied)
            return False
        if fault is not None and fault.kind == "drop":
            abort(self.socket)
            return False
        await self.socket.accept()
        if fault is not None:
            await self._strike(fault)
            self._mute = True
        return True

    async def close(self, code: int | None, reason: str = "") -> None:
        """Close with `code`; None cuts the connection. Later messages are dropped."""
        self._mute = True
        if code is None:
            abort(self.socket)
        elif self.socket.application_state is WebSocketState.CONNECTED:
            with suppress(RuntimeError, WebSocketDisconnect):
                await self.socket.close(code, reason[:LONGEST_REASON])

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send without faults: an error, a greeting, an acknowledgement."""
        await self._send_text(json.dumps(message))

    async def answer(self, message: Mapping[str, Any]) -> None:
        """Send an answer, subject to the active faults."""
        for fault in self.stage.faults.take(self._service, "answer", self.about):
            if fault.kind == "latency":
                await asyncio.sleep(fault.latency_ms / 1000)
            else:
                await self._strike(fault)
                return
        await self.send(message)

    async def fail(self, code: int, text: str) -> None:
        """Send the service's own error, then close with its code."""
        await self.send(self._error(code, text))
        await self.close(code, text)

    async def _send_text(self, text: str) -> None:
        if not self._mute:
            with suppress(RuntimeError, WebSocketDisconnect):  # the client disconnected meanwhile
                await self.socket.send_text(text)

    async def _strike(self, fault: Fault) -> None:
        match fault.kind:
            case "drop":
                await self.close(None)
            case "close":
                await self.close(fault.code, fault.reason)
            case "error":
                await self.fail(fault.code, fault.reason or "Session Cancelled: An error occurred")
            case "garbage":
                await self._send_text(GARBAGE)
            case "frozen":
                self._mute = True
                self.socket.scope["extensions"][FREEZE]()
            case _:
                pass  # silence: send nothing
