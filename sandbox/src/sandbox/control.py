"""The control API of tests under /control: faults, scripts, recorded traffic, and closing connections."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import MOST_FAULTS, Fault, Service, TooManyFaults
from sandbox.script import LONGEST_QUEUE, Reply, ScriptFull
from sandbox.stage import stage_of
from sandbox.wire import BodyRefused, json_body, json_object

Handler = Callable[[Request], Awaitable[Response]]


class _Transcripts(BaseModel):
    model_config = ConfigDict(extra="forbid")

    texts: list[str] = Field(min_length=1, max_length=LONGEST_QUEUE)


class _Replies(BaseModel):
    model_config = ConfigDict(extra="forbid")

    replies: list[Reply] = Field(min_length=1, max_length=LONGEST_QUEUE)


class _Disconnect(BaseModel):
    model_config = ConfigDict(extra="forbid")

    service: Service
    code: int | None = Field(default=None, ge=1000, le=4999)


def routes() -> list[Route]:
    return [
        Route("/control/state", _refusing(_state), methods=["GET"]),
        Route("/control/faults", _refusing(_faults), methods=["GET", "POST", "DELETE"]),
        Route("/control/faults/{number:int}", _refusing(_fault), methods=["DELETE"]),
        Route("/control/transcripts", _refusing(_transcripts), methods=["POST"]),
        Route("/control/replies", _refusing(_replies), methods=["POST"]),
        Route("/control/disconnect", _refusing(_disconnect), methods=["POST"]),
        Route("/control/reset", _refusing(_reset), methods=["POST"]),
    ]


def _refusing(handler: Handler) -> Handler:
    """Answer an invalid control request with one line."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except BodyRefused as error:
            return _error(error.status, error.message)
        except ValidationError as error:
            first = error.errors()[0]
            return _error(422, f"{'.'.join(map(str, first['loc'])) or 'body'}: {first['msg']}")
        except TooManyFaults:
            return _error(409, f"{MOST_FAULTS} faults are active; clear some with DELETE /control/faults")
        except ScriptFull:
            return _error(409, f"a script has at most {LONGEST_QUEUE} entries; clear it with POST /control/reset")

    return answer


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)


async def _state(request: Request) -> Response:
    stage = stage_of(request)
    recognisers = {"in_use": stage.ears.in_use, "warm": stage.ears.waiting}
    script, faults = stage.script.state(), stage.faults.listed()
    return JSONResponse({**stage.traffic.state(), "recognisers": recognisers, "script": script, "faults": faults})


async def _faults(request: Request) -> Response:
    board = stage_of(request).faults
    if request.method == "POST":
        return JSONResponse({"id": board.add(Fault.model_validate(await json_body(request)))}, status_code=201)
    if request.method == "DELETE":
        board.clear()
    return JSONResponse({"faults": board.listed()})


async def _fault(request: Request) -> Response:
    number: int = request.path_params["number"]
    if not stage_of(request).faults.remove(number):
        return _error(404, f"no fault {number} is active")
    return Response(status_code=204)


async def _transcripts(request: Request) -> Response:
    script = stage_of(request).script
    script.hear(_Transcripts.model_validate(await json_body(request)).texts)
    return JSONResponse(script.state(), status_code=201)


async def _replies(request: Request) -> Response:
    script = stage_of(request).script
    script.answer(_Replies.model_validate(_worded(await json_body(request))).replies)
    return JSONResponse(script.state(), status_code=201)


def _worded(body: Any) -> Any:
    """Allow a string for a reply that has only text."""
    found = json_object(body)
    if found is None or not isinstance(found.get("replies"), list):
        return body
    replies = cast("list[Any]", found["replies"])
    return {**found, "replies": [{"text": reply} if isinstance(reply, str) else reply for reply in replies]}


async def _disconnect(request: Request) -> Response:
    wanted = _Disconnect.model_validate(await json_body(request))
    closed = await stage_of(request).traffic.disconnect(wanted.service, wanted.code)
    return JSONResponse({"closed": closed})


async def _reset(request: Request) -> Response:
    stage = stage_of(request)
    stage.faults.clear()
    stage.script.clear()
    stage.traffic.reset()
    return Response(status_code=204)
