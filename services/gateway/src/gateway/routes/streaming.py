"""A start as server-sent events: the token at once, then each stage."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated, Any, Final

from fastapi import Depends, Request
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from pydantic import BaseModel

from chassis.edge import request_id
from chassis.logs import get_logger
from chassis.problem import problem_of
from contracts.api import StartProgress, StartReply
from contracts.errors import INTERNAL, Refused
from gateway.domain.waiting import AwaitedStage
from gateway.routes.services import Services
from gateway.routes.unavailable import STORE_ERRORS, refusal
from gateway.routes.waits import Permit

log = get_logger(__name__)

EVENT_STREAM: Final = "text/event-stream"

_EXAMPLE: Final = """\
event: accepted
data: {"success": true, "sessionId": "session_1795521600123_0a1b2c3d4e5f", "token": "eyJ...", ...}

event: joined
data: {"sessionId": "session_1795521600123_0a1b2c3d4e5f", "stage": "joined", "stageMs": {"join": 120}}

event: speaking
data: {"sessionId": "session_1795521600123_0a1b2c3d4e5f", "stage": "speaking", "stageMs": {"join": 120, "heard": 640}}

"""

STREAM_DOCUMENTED: Final[dict[str, Any]] = {
    EVENT_STREAM: {
        "schema": {
            "type": "string",
            "description": "Server-sent events. `accepted`: a StartReply (of a start only). `joined`, `speaking`: a "
            "StartProgress. `failed`: a Problem. The stream closes after the stage that was asked for, or after "
            "`failed`. A comment line comes every 10 s while nothing happens.",
        },
        "example": _EXAMPLE,
    }
}
"""The `content` of a 200 that may be a stream, for OpenAPI."""


async def _wants_stream(request: Request) -> bool:
    ranges = (part.split(";")[0].strip().lower() for part in request.headers.get("accept", "").split(","))
    return EVENT_STREAM in ranges


WantsStream = Annotated[bool, Depends(_wants_stream)]
"""Whether the Accept header names server-sent events; in OpenAPI the types of the answer say it."""


def stream(
    session_id: str,
    stage: AwaitedStage,
    services: Services,
    permit: Permit,
    *,
    until: float,
    since: int | None = None,
    first: StartReply | None = None,
    headers: Mapping[str, str] | None = None,
) -> EventSourceResponse:
    """Stream each stage of a start when it is reached.

    Args:
        permit: Released at the end of the stream.
        until: Deadline for `failed` with `start_pending`, on the loop's clock.
        since: Stream sequence of the session's request, if known.
        first: Sent at once as `accepted`.
    """
    lines: asyncio.Queue[bytes | None] = asyncio.Queue()
    if first is not None:
        lines.put_nowait(_line("accepted", first))
    following = services.background.spawn(_follow(session_id, stage, services, until, since, lines, request_id()))
    following.add_done_callback(lambda _: permit.release())
    no_store = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return EventSourceResponse(_lines(lines, following, services.keepalive_s), headers={**no_store, **(headers or {})})


async def _follow(
    session_id: str,
    stage: AwaitedStage,
    services: Services,
    until: float,
    since: int | None,
    lines: asyncio.Queue[bytes | None],
    request: str,
) -> None:
    async def tell(reached: AwaitedStage, stage_ms: Mapping[str, int]) -> None:
        progress = StartProgress(session_id=session_id, stage=reached, stage_ms=dict(stage_ms))
        lines.put_nowait(_line(reached, progress))

    try:
        await services.waits.follow(stage, session_id, services.log, until=until, tell=tell, since=since)
    except Refused as refused:
        lines.put_nowait(_line("failed", problem_of(refused, request)))
    except STORE_ERRORS as error:
        lines.put_nowait(_line("failed", problem_of(refusal(error), request)))
    except Exception:
        log.exception("start.stream_bug", session_id=session_id)
        unexpected = Refused(INTERNAL, "An unexpected error.", session_id=session_id)
        lines.put_nowait(_line("failed", problem_of(unexpected, request)))
    finally:
        lines.put_nowait(None)


async def _lines(
    lines: asyncio.Queue[bytes | None], following: asyncio.Task[None], keepalive_s: float
) -> AsyncGenerator[bytes]:
    try:
        while True:
            try:
                async with asyncio.timeout(keepalive_s):
                    line = await lines.get()
            except TimeoutError:
                line = KEEPALIVE_COMMENT
            if line is None:
                return
            yield line
    finally:
        following.cancel()  # the client disconnected


def _line(event: str, data: BaseModel) -> bytes:
    return format_sse_event(event=event, data_str=data.model_dump_json(by_alias=True, exclude_none=True))
