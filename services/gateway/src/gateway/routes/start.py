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
    NO_CAPACITY,
    SESSION_ENDED,
    SESSION_ID_TAKEN,
    START_FAILED,
    START_PENDING,
    TOOL_NOT_ALLOWED,
    UNKNOWN_VOICE,
    Refused,
)
from contracts.events import AgentReady, AgentSpeaking, Event, SessionEnded, SessionRequested, TurnFinished
from contracts.registry import IdempotentStart
from fastapi import APIRouter, Header

from contracts import ids
from gateway.domain.start import fingerprint, is_same_start, requested
from gateway.domain.tools import check_tools
from gateway.domain.voices import check_voice
from gateway.domain.waiting import Stage, stage_reached
from gateway.ports import BusAway, SessionIdTaken
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
    BUS_UNAVAILABLE,
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
    try:
        async with asyncio.timeout(services.start_deadline_s):
            session = await _accept(body, services, idempotency_key)
    except TimeoutError as error:
        raise Refused(
            START_PENDING,
            f"The start was not confirmed in {services.start_deadline_s:g} s; repeat it with the same Idempotency-Key.",
            retry_after_s=1,
        ) from error
    with bind_session(session.session_id):
        log.info("session.accepted", voice_id=session.voice_id)
    stage_ms = None if body.wait == "accepted" else await _wait(body.wait, session.session_id, services)
    return _reply(session, services, stage_ms)


async def _accept(body: StartRequest, services: Services, key: str | None) -> SessionRequested:
    """Make the room and put the request into the log, or find that an earlier try of this request did."""
    check_tools(body.tools, services.tool_hosts)
    check_voice(body.voice_id, await services.voices.known())
    now = services.now()
    ahead = await _room_ahead(body, key, services)
    session_id = body.session_id or ahead or ids.session_id(int(now.timestamp() * 1000), services.randomness())
    claimed = session_id if key is None else await _claim(key, body, session_id, services)
    if ahead is not None and claimed != ahead:
        await _undo_room(ahead, services)  # another try was faster; after a failure the scheduler does it
    event = requested(body, claimed, now)
    if body.session_id is not None or claimed != session_id:
        # Looked up before the room is made: a room made for an ended session would let its old tokens in.
        earlier = await services.log.last(SessionRequested, claimed)
        if earlier is not None:
            return _repeated(event, earlier, key)
    await services.rooms.create(claimed)
    try:
        await services.log.open(event)
    except SessionIdTaken:
        # The room now belongs to whoever came first.
        earlier = await services.log.last(SessionRequested, claimed)
        return _repeated(event, earlier, key)
    except BusAway:
        await _undo_room(claimed, services)
        raise
    return event


async def _room_ahead(body: StartRequest, key: str | None, services: Services) -> str | None:
    """A room with an agent in it, for a start that leaves the id to us and is not the repetition of another."""
    if body.session_id is not None:
        if body.session_id in services.prejoined.ids:
            # Only who takes the key has the room: some other start would be promised this session, and refused.
            raise Refused(SESSION_ID_TAKEN, f"{body.session_id} is kept for a start that leaves the id to us.")
        return None
    if key is not None and services.prejoined.ids and await services.idempotency.find(key) is not None:
        return None
    return await services.prejoined.take(region=body.metadata.get("region"))


async def _claim(key: str, body: StartRequest, session_id: str, services: Services) -> str:
    digest = fingerprint(body)
    first = await services.idempotency.claim(key, IdempotentStart(session_id=session_id, body_sha256=digest))
    if first.body_sha256 != digest:
        raise Refused(IDEMPOTENCY_MISMATCH, "This Idempotency-Key was used for a start with another body.")
    return first.session_id


def _repeated(event: SessionRequested, earlier: SessionRequested | None, key: str | None) -> SessionRequested:
    if key is not None and earlier is not None and is_same_start(event, earlier):
        return earlier
    raise Refused(SESSION_ID_TAKEN, f"There is a session {event.session_id} already.")


async def _undo_room(session_id: str, services: Services) -> None:
    """Leave nothing half done; should this fail too, the room closes by its own timeout as nobody joins."""
    try:
        await services.rooms.delete(session_id)
    except Refused as refused:
        log.warning("room.not_deleted", session_id=session_id, reason=refused.detail)


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
