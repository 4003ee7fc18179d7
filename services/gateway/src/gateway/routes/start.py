"""`POST /orchestrator/session/start`: a room, a token, and the fact in the log."""

import asyncio
from typing import Annotated

from chassis.logs import bind_session, get_logger
from contracts.api import IDEMPOTENCY_KEY_PATTERN, StartReply, StartRequest
from contracts.errors import (
    BUS_UNAVAILABLE,
    IDEMPOTENCY_MISMATCH,
    INVALID_SESSION_ID,
    LIVEKIT_REFUSED,
    LIVEKIT_UNAVAILABLE,
    LOG_REFUSED,
    NO_CAPACITY,
    ROOM_TAKEN,
    SESSION_ENDED,
    SESSION_ID_TAKEN,
    START_FAILED,
    START_PENDING,
    TOOL_NOT_ALLOWED,
    UNKNOWN_VOICE,
    Refused,
)
from contracts.events import AgentReady, AgentSpeaking, Event, SessionEnded, SessionRequested, TurnFinished
from fastapi import APIRouter, Header

from gateway.domain.waiting import Stage, stage_reached
from gateway.ports import BusAway
from gateway.routes.accepting import Acceptance
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.services import Services, Wired

log = get_logger(__name__)
router = APIRouter(tags=["sessions"])

_PROBLEMS = problems(
    *WITH_BODY,
    INVALID_SESSION_ID,
    UNKNOWN_VOICE,
    TOOL_NOT_ALLOWED,
    IDEMPOTENCY_MISMATCH,
    SESSION_ID_TAKEN,
    SESSION_ENDED,
    LIVEKIT_UNAVAILABLE,
    LIVEKIT_REFUSED,
    ROOM_TAKEN,
    BUS_UNAVAILABLE,
    LOG_REFUSED,
    NO_CAPACITY,
    START_FAILED,
    START_PENDING,
)

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=IDEMPOTENCY_KEY_PATTERN,
        description="The same key with the same body gets the same session, however often it is sent, for 24 hours.",
    ),
]


@router.post(
    "/api/session/start",
    responses=_PROBLEMS,
    operation_id="start_session_alias",
    summary="Start a session",
    response_model_exclude_none=True,
)
@router.post(
    "/orchestrator/session/start", responses=_PROBLEMS, operation_id="start_session", response_model_exclude_none=True
)
async def start_session(body: StartRequest, services: Wired, idempotency_key: IdempotencyKey = None) -> StartReply:
    """Start a session: its room is made and its agent is on the way when this answers.

    With `wait` it answers once the agent is in the room (`joined`) or heard (`speaking`), with the time that each
    stage took; or with a problem that says why not.
    """
    acceptance = Acceptance(body, services, idempotency_key)
    try:
        async with asyncio.timeout(services.start_deadline_s):
            accepted = await acceptance.run()
    except TimeoutError as error:
        raise Refused(
            START_PENDING,
            f"The start was not confirmed in {services.start_deadline_s:g} s; repeat it with the same Idempotency-Key.",
            retry_after_s=1,
            session_id=acceptance.session_id,
        ) from error
    session = accepted.session
    with bind_session(session.session_id):
        log.info("session.accepted", voice_id=session.voice_id)
    stage_ms = None if body.wait == "accepted" else await _wait(body.wait, session.session_id, services)
    return _reply(session, services, stage_ms)


async def _wait(stage: Stage, session_id: str, services: Services) -> dict[str, int]:
    seen: list[Event] = []
    try:
        async with (
            asyncio.timeout(services.start_wait_s),
            services.log.follow(session_id, AgentReady, AgentSpeaking, TurnFinished, SessionEnded) as events,
        ):
            async for event in events:
                seen.append(event)
                stage_ms = stage_reached(stage, seen)
                if stage_ms is not None:
                    return stage_ms
    except TimeoutError as error:
        raise Refused(
            START_PENDING,
            f"Session {session_id} is accepted, but its agent was not {stage} in {services.start_wait_s:g} s.",
            retry_after_s=1,
            session_id=session_id,
        ) from error
    raise BusAway(f"NATS no longer tells about session {session_id}.")


def _reply(session: SessionRequested, services: Services, stage_ms: dict[str, int] | None) -> StartReply:
    return StartReply(
        session_id=session.session_id,
        # Minted as of the request, so that a repeated start gets the very same answer.
        token=services.tokens.mint(
            session.session_id, user_id=session.user_id, name=session.user_name, now=session.time
        ),
        server_url=services.client_url,
        room_name=session.session_id,
        stage_ms=stage_ms,
    )
