"""`POST /orchestrator/session/start`: accept a start, and wait for its agent if asked to."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response

from chassis.logs import bind_session, get_logger
from chassis.tasks import first_of
from contracts.api import MAX_WAIT_MS, MIN_WAIT_MS, StartProgress, StartReply, StartRequest
from contracts.errors import (
    AGENT_START_TIMEOUT,
    BUS_UNAVAILABLE,
    CALLER_NEVER_JOINED,
    CLOCK_SKEW,
    GATEWAY_STOPPING,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_STORE_FULL,
    INSUFFICIENT_CREDIT,
    INVALID_SESSION_ID,
    KEYS_FULL,
    LIVEKIT_REFUSED,
    LIVEKIT_UNAVAILABLE,
    LOG_FULL,
    LOG_REFUSED,
    NO_CAPACITY,
    PROVIDER_UNAVAILABLE,
    QUEUE_FULL,
    ROOM_TAKEN,
    SEATS_FULL,
    SESSION_ENDED,
    SESSION_ID_TAKEN,
    SESSION_UNREADABLE,
    START_FAILED,
    START_PENDING,
    TOKEN_FIRST,
    TOO_MANY_WAITING,
    TOOL_NOT_ALLOWED,
    UNKNOWN_SESSION,
    UNKNOWN_VOICE,
    FieldError,
    Refused,
)
from contracts.events import SessionRequested
from contracts.ids import SessionId
from gateway.domain.access import Scope
from gateway.domain.accounts import shown_user_id
from gateway.domain.waiting import AwaitedStage
from gateway.ports import NatsUnavailable
from gateway.routes.accepting import ROUTE, Acceptance, Accepted
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.first_word import hear_the_scheduler
from gateway.routes.keyed import REPLAYED, REPLAYED_DOCUMENTED, IdempotencyKey, SentKey
from gateway.routes.services import Services, Wired
from gateway.routes.streaming import STREAM_DOCUMENTED, WantsStream, stream
from gateway.routes.v1_examples import PROGRESS

log = get_logger(__name__)
router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_WAITING = (
    SESSION_ENDED,
    SESSION_UNREADABLE,
    NO_CAPACITY,
    AGENT_START_TIMEOUT,
    PROVIDER_UNAVAILABLE,
    CALLER_NEVER_JOINED,
    INSUFFICIENT_CREDIT,
    START_FAILED,
    START_PENDING,
    TOO_MANY_WAITING,
    GATEWAY_STOPPING,
    BUS_UNAVAILABLE,
    LOG_FULL,
)
_STARTING = problems(
    *WITH_BODY,
    INVALID_SESSION_ID,
    UNKNOWN_VOICE,
    TOOL_NOT_ALLOWED,
    TOKEN_FIRST,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_STORE_FULL,
    SEATS_FULL,
    KEYS_FULL,
    SESSION_ID_TAKEN,
    ROOM_TAKEN,
    LIVEKIT_UNAVAILABLE,
    LIVEKIT_REFUSED,
    CLOCK_SKEW,
    LOG_REFUSED,
    QUEUE_FULL,
    *_WAITING,
) | {200: {"content": STREAM_DOCUMENTED, "headers": REPLAYED_DOCUMENTED}}
_REACHED: Final[dict[AwaitedStage, str]] = {
    "joined": "Session created. Voice agent has joined.",
    "speaking": "Session created. Voice agent is speaking.",
}
_FOLLOWING = problems(INVALID_SESSION_ID, UNKNOWN_SESSION, QUEUE_FULL, *_WAITING) | {
    200: {"content": {**STREAM_DOCUMENTED, "application/json": {"example": PROGRESS}}}
}

_CLIENT_LEFT: Final = 499
"""As nginx calls it: only logs and metrics see this answer."""

DeadlineMs = Annotated[
    int | None,
    Query(alias="deadlineMs", ge=MIN_WAIT_MS, le=MAX_WAIT_MS, description="ms from the request until the answer"),
]


@router.post(
    "/api/session/start",
    responses=_STARTING,
    operation_id="start_session_alias",
    summary="Start a session",
    response_model=StartReply,
    response_model_exclude_none=True,
)
@router.post(
    "/orchestrator/session/start",
    responses=_STARTING,
    operation_id="start_session",
    response_model=StartReply,
    response_model_exclude_none=True,
)
async def start_session(
    body: StartRequest,
    services: Wired,
    request: Request,
    response: Response,
    key: IdempotencyKey,
    streams: WantsStream,
) -> Any:
    """Start a session: the answer comes when its room exists and its agent is about to start.

    With `wait` the answer comes when the agent is in the room (`joined`) or was heard (`speaking`), with the time of
    each stage; or it is a problem with the cause, whose `fault` names who has to act.

    With `Accept: text/event-stream` it answers at once with the event `accepted`, which has the token, and streams
    `joined` and `speaking` as they happen, or `failed` with a problem; after `speaking` the stream closes, with
    `wait: joined` after `joined`. GET /v1/sessions/{id}/start follows a start that was accepted before.
    """
    began = asyncio.get_running_loop().time()
    stage = _stage(body, streams=streams)
    permit = None if stage is None else services.waits.permit()
    try:
        accepted = await _accept(body, services, key, began)
        session = accepted.session
        until = _until(began, body.deadline_ms, services)
        if accepted.replayed:
            response.headers[REPLAYED] = "true"
        if stage is None or permit is None:
            return _reply(session, services)
        if streams:
            following = stream(
                session.session_id,
                stage,
                services,
                permit,
                until=until,
                since=accepted.seq,
                first=_reply(session, services),
                headers=response.headers,
            )
            permit = None  # the stream releases it
            return following
        stage_ms = await _stage_ms(stage, session.session_id, services, request, until, since=accepted.seq)
        if stage_ms is None:
            return Response(status_code=_CLIENT_LEFT)
        reply = _reply(session, services, stage_ms)
        return reply.model_copy(update={"message": _REACHED[stage]})
    finally:
        if permit is not None:
            permit.release()


@router.get(
    "/v1/sessions/{session_id}/start",
    responses=_FOLLOWING,
    operation_id="follow_start",
    response_model=StartProgress,
)
async def follow_start(
    session_id: Annotated[SessionId, Path()],
    services: Wired,
    request: Request,
    streams: WantsStream,
    wait: Annotated[AwaitedStage, Query(description="the stage to wait for")] = "joined",
    deadline_ms: DeadlineMs = None,
) -> Any:
    """Wait until the agent of a started session is in the room, or was heard.

    With `Accept: text/event-stream`, as a browser's EventSource sends it, the stages come as events, as those of a
    start, but without `accepted`. An EventSource opens a closed stream again: close it at `failed` and at the last
    stage.
    """
    until = _until(asyncio.get_running_loop().time(), deadline_ms, services)
    if await services.log.last(SessionRequested, session_id) is None:
        raise Refused(UNKNOWN_SESSION, f"Unknown session {session_id}.")
    permit = services.waits.permit()
    if streams:
        return stream(session_id, wait, services, permit, until=until)
    try:
        stage_ms = await _stage_ms(wait, session_id, services, request, until)
        if stage_ms is None:
            return Response(status_code=_CLIENT_LEFT)
        return StartProgress(session_id=session_id, stage=wait, stage_ms=stage_ms)
    finally:
        permit.release()


def _stage(body: StartRequest, *, streams: bool) -> AwaitedStage | None:
    """The stage to wait for; None: answer at once."""
    if streams:
        return "joined" if body.wait == "joined" else "speaking"
    if body.wait == "speaking" and body.session_id is None:
        # The agent speaks when its caller has joined, and this caller's token is in the answer.
        raise Refused(
            TOKEN_FIRST,
            "With `wait: speaking` and without `sessionId` the answer would wait for a caller who has no token yet.",
            errors=(FieldError(field="wait", message="needs `sessionId`, or Accept: text/event-stream"),),
        )
    return None if body.wait == "accepted" else body.wait


async def _accept(body: StartRequest, services: Services, key: SentKey, began: float) -> Accepted:
    """Accept the start within its deadline; if the queue may be full, wait for the scheduler's decision too."""
    limit_s = services.start_deadline_s
    if body.deadline_ms is not None:
        limit_s = min(limit_s, body.deadline_ms / 1000)
    acceptance = Acceptance(body, services, key.of(ROUTE))
    try:
        async with asyncio.timeout_at(began + limit_s):
            accepted = await acceptance.run()
    except TimeoutError as error:
        raise Refused(
            START_PENDING,
            f"The start was not confirmed within {limit_s:g} s; repeat it with the same Idempotency-Key.",
            retry_after_s=1,
            session_id=acceptance.session_id,
        ) from error
    except NatsUnavailable as error:
        error.session_id = acceptance.session_id  # the log may have it: an acknowledgement can get lost
        raise
    session = accepted.session
    with bind_session(session.session_id):
        log.info("session.accepted", voice_id=session.voice_id, replayed=accepted.replayed)
    if services.queue.may_be_full(accepted.seq):
        limit_s = services.start_deadline_s if body.deadline_ms is None else body.deadline_ms / 1000
        await hear_the_scheduler(session.session_id, services, until=began + limit_s)
    return accepted


async def _stage_ms(
    stage: AwaitedStage,
    session_id: str,
    services: Services,
    request: Request,
    until: float,
    *,
    since: int | None = None,
) -> dict[str, int] | None:
    """The time of each stage, in ms since the request; None if the client left before."""
    reached: dict[AwaitedStage, dict[str, int]] = {}

    async def tell(each: AwaitedStage, stage_ms: Mapping[str, int]) -> None:
        reached[each] = dict(stage_ms)

    async def client_left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    follow = services.waits.follow(stage, session_id, services.log, until=until, tell=tell, since=since)
    await first_of(follow, client_left())
    return reached.get(stage)


def _until(began: float, deadline_ms: int | None, services: Services) -> float:
    """The deadline of a wait, on the loop's clock."""
    return began + (services.start_deadline_s + services.start_wait_s if deadline_ms is None else deadline_ms / 1000)


def _reply(session: SessionRequested, services: Services, stage_ms: dict[str, int] | None = None) -> StartReply:
    return StartReply(
        session_id=session.session_id,
        # Valid from the request's time, so that a repeated start gets the same token.
        token=services.tokens.mint(
            session.session_id, user_id=shown_user_id(session), name=session.user_name, now=session.time
        ),
        server_url=services.client_url,
        room_name=session.session_id,
        stage_ms=stage_ms,
    )
