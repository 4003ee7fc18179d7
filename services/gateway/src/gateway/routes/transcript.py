"""`GET /v1/sessions/{id}/transcript`, as JSON or as text."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import PlainTextResponse, Response

from contracts.errors import BUS_UNAVAILABLE, INVALID_SESSION_ID, SESSION_UNREADABLE, UNKNOWN_SESSION
from contracts.ids import SessionId
from contracts.transcript import Transcript
from gateway.domain.access import Scope
from gateway.domain.transcript import as_text, transcript
from gateway.ports import SessionLog
from gateway.routes.documented import problems
from gateway.routes.finding import unknown
from gateway.routes.services import LogPort

router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_EXAMPLE: Final[dict[str, Any]] = {
    "sessionId": "session_1795521600123_0a1b2c3d4e5f",
    "language": "en-GB",
    "erased": False,
    "turns": [
        {
            "n": 0,
            "epoch": 1,
            "at": "2026-11-24T12:00:02.100000Z",
            "offsetMs": 2100,
            "user": None,
            "agent": "Hello Ann!",
            "interrupted": False,
            "isOpening": True,
            "tools": [],
        },
        {
            "n": 1,
            "epoch": 1,
            "at": "2026-11-24T12:00:07.900000Z",
            "offsetMs": 7900,
            "user": "Is it raining?",
            "agent": "No, the sun is",
            "interrupted": True,
            "isOpening": False,
            "tools": [{"name": "weather", "outcome": "done"}],
        },
    ],
}
_TEXT_EXAMPLE: Final = """\
Session session_1795521600123_0a1b2c3d4e5f, language en-GB

   00:02  agent   Hello Ann!
   00:07  caller  Is it raining?
   00:07  tool    weather: done
   00:07  agent   No, the sun is [interrupted]
"""
_PROBLEMS: Final = problems(INVALID_SESSION_ID, UNKNOWN_SESSION, SESSION_UNREADABLE, BUS_UNAVAILABLE)
_AS_JSON: Final[dict[str, Any]] = {"application/json": {"example": _EXAMPLE}}
_AS_TEXT: Final[dict[str, Any]] = {"text/plain": {"schema": {"type": "string"}, "example": _TEXT_EXAMPLE}}

_Id = Annotated[SessionId, Path()]


@router.get(
    "/v1/sessions/{session_id}/transcript",
    responses=_PROBLEMS | {200: {"content": _AS_JSON | _AS_TEXT}},
    operation_id="get_transcript",
    response_model=Transcript,
)
async def get_transcript(session_id: _Id, sessions: LogPort, request: Request) -> Any:
    """What was said and heard so far, with the calls of tools.

    With `Accept: text/plain` it is text for a person. `/transcript.json` and `/transcript.txt` give one form, whatever
    the header.
    """
    said = await _read(session_id, sessions)
    accept = request.headers.get("accept", "")
    return _text(said) if "text/plain" in accept and "application/json" not in accept else said


@router.get(
    "/v1/sessions/{session_id}/transcript.json",
    responses=_PROBLEMS | {200: {"content": _AS_JSON}},
    operation_id="get_transcript_json",
)
async def get_transcript_json(session_id: _Id, sessions: LogPort) -> Transcript:
    """The transcript as JSON."""
    return await _read(session_id, sessions)


@router.get(
    "/v1/sessions/{session_id}/transcript.txt",
    responses=_PROBLEMS | {200: {"content": _AS_TEXT}},
    operation_id="get_transcript_text",
    response_class=PlainTextResponse,
)
async def get_transcript_text(session_id: _Id, sessions: LogPort) -> Response:
    """The transcript as text: one line for each speaker, with minutes and seconds since the request."""
    return _text(await _read(session_id, sessions))


async def _read(session_id: str, sessions: SessionLog) -> Transcript:
    """From the log: the read model has no turns."""
    said = transcript(await sessions.history(session_id))
    if said is None:
        await unknown(session_id, sessions)
    return said


def _text(said: Transcript) -> Response:
    return PlainTextResponse(as_text(said))
