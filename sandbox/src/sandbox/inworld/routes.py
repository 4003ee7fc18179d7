"""Inworld's paths under /tts/v1 and /voices/v1."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from sandbox.inworld import socket, voices
from sandbox.inworld.order import INVALID, NOT_FOUND, UNAUTHENTICATED, OrderRefused, SpokenOrder, spoken_order
from sandbox.inworld.speech import chunk, chunks, utterance
from sandbox.stage import Stage, stage_of
from sandbox.wire import (
    GARBAGE,
    BodyRefused,
    Line,
    is_key,
    json_body,
    status_response,
    strike_answer,
    strike_http,
)

PATH = "/tts/v1/voice"
_STATUS = {INVALID: 400, NOT_FOUND: 404, UNAUTHENTICATED: 401}
_INTERNAL = 13

Handler = Callable[[Request], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    return [
        WebSocketRoute(f"{PATH}:streamBidirectional", stream),
        Route(f"{PATH}:stream", _guarded(synthesise_streaming), methods=["POST"]),
        Route(PATH, _guarded(synthesise), methods=["POST"]),
        Route("/tts/v1/voices", _guarded(list_for_tts), methods=["GET"]),
        Route("/voices/v1/voices", _guarded(list_voices), methods=["GET"]),
    ]


async def stream(websocket: WebSocket) -> None:
    stage, path = stage_of(websocket), websocket.url.path
    stage.traffic.count("inworld", "connect")
    line = Line(websocket, stage, "inworld", {"path": path}, socket.error)
    denied = None if _has_key(websocket, stage) else _refusal(_no_key())
    if not await line.open(denied, _body(_INTERNAL, "the service refused the connection")):
        return
    with stage.traffic.connection("inworld", line.close), suppress(WebSocketDisconnect):
        await socket.Conversation(line).run()


def _guarded(handler: Handler) -> Handler:
    """Check the key, apply faults, and answer refusals."""

    async def answer(request: Request) -> Response:
        stage, path = stage_of(request), request.url.path
        stage.traffic.count("inworld", path.rsplit("/", 1)[-1])
        try:
            fault = await strike_http(stage, "inworld", "request", {"path": path})
            if fault is not None:
                return status_response(fault, _body(_INTERNAL, "the service refused the request"))
            if not _has_key(request, stage):
                raise _no_key()
            return await handler(request)
        except OrderRefused as refused:
            return _refusal(refused)
        except BodyRefused as error:
            return JSONResponse(_body(INVALID, error.message), status_code=error.status)

    return answer


def _has_key(connection: HTTPConnection, stage: Stage) -> bool:
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "basic" and is_key(key, stage.settings.inworld_key)


def _no_key() -> OrderRefused:
    return OrderRefused(UNAUTHENTICATED, "Invalid authorization credentials")


def _body(code: int, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


def _refusal(refused: OrderRefused) -> JSONResponse:
    return JSONResponse(_body(refused.code, refused.message), status_code=_STATUS.get(refused.code, 400))


async def list_for_tts(_request: Request) -> Response:
    return JSONResponse(voices.listed_for_tts())


async def list_voices(_request: Request) -> Response:
    return JSONResponse(voices.listed())


async def synthesise(request: Request) -> Response:
    """The whole text at once."""
    stage, order = stage_of(request), await _ordered(request)
    spoken = await asyncio.to_thread(utterance, stage.voice, order, order.text)
    if await strike_answer(stage, "inworld", {"path": request.url.path}):
        return Response(GARBAGE, media_type="application/json")
    return JSONResponse({**chunk(order, spoken), "usage": _usage(order)})


async def synthesise_streaming(request: Request) -> Response:
    """The text in chunks, one JSON object a line."""
    stage, order = stage_of(request), await _ordered(request)
    spoken = await asyncio.to_thread(utterance, stage.voice, order, order.text)

    async def lines() -> AsyncGenerator[str]:
        await asyncio.sleep(stage.settings.tts_first_audio_ms / 1000)
        for found in chunks(order, spoken):
            if await strike_answer(stage, "inworld", {"path": request.url.path}):
                yield f"{GARBAGE}\n"
            yield json.dumps({"result": {**found, "usage": _usage(order)}}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def _ordered(request: Request) -> SpokenOrder:
    body = await json_body(request)
    stage_of(request).traffic.keep("inworld", request.url.path, body)
    return spoken_order(body)


def _usage(order: SpokenOrder) -> dict[str, Any]:
    return {"processedCharactersCount": len(order.text), "modelId": order.model_id}
