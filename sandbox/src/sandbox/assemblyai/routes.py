"""AssemblyAI's paths: /v3/ws, and /v2/transcript as the account check that its SDK offers."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from sandbox.assemblyai import messages
from sandbox.assemblyai.messages import BadParameter
from sandbox.assemblyai.session import Session
from sandbox.speech.forks import RecogniserFailed
from sandbox.speech.pool import TooManySessions
from sandbox.stage import stage_of
from sandbox.wire import Line, is_key, status_response, strike_http

PATH = "/v3/ws"


def routes() -> list[BaseRoute]:
    return [WebSocketRoute(PATH, stream), Route("/v2/transcript", transcripts, methods=["GET"])]


async def stream(socket: WebSocket) -> None:
    stage, query = stage_of(socket), dict(socket.query_params)
    stage.traffic.count("assemblyai", "connect")
    stage.traffic.keep("assemblyai", PATH, {name: value for name, value in query.items() if name != "token"})
    about = {"path": PATH, "model": query.get("speech_model", messages.DEFAULT_MODEL)}
    line = Line(socket, stage, "assemblyai", about, messages.error)
    key = socket.headers.get("authorization") or query.get("token")
    denied = None if is_key(key, stage.settings.assembly_key) else _unauthorised()
    if not await line.open(denied, {"error": "The service refused the connection"}):
        return
    with stage.traffic.connection("assemblyai", line.close):
        try:
            parameters = messages.parameters(query)
            async with stage.ears.lend() as ear:
                await Session(line, ear, parameters).run()
        except BadParameter as bad:
            await line.fail(messages.INVALID, str(bad))
        except TooManySessions:
            await line.fail(messages.TOO_MANY, "Unauthorized Connection: Too many concurrent sessions")
        except RecogniserFailed:
            await line.fail(messages.SERVER_ERROR, "Session Cancelled: An error occurred")


async def transcripts(request: Request) -> Response:
    """The list of transcripts, always empty: the sandbox stores none."""
    stage = stage_of(request)
    stage.traffic.count("assemblyai", "transcripts")
    fault = await strike_http(stage, "assemblyai", "request", {"path": request.url.path})
    if fault is not None:
        return status_response(fault, {"error": "The service refused the request"})
    if not is_key(request.headers.get("authorization"), stage.settings.assembly_key):
        return _unauthorised()
    page = {"limit": 10, "result_count": 0, "current_url": str(request.url), "prev_url": None, "next_url": None}
    return JSONResponse({"page_details": page, "transcripts": []})


def _unauthorised() -> JSONResponse:
    return JSONResponse({"error": "Authentication error, API token missing/invalid"}, status_code=401)
