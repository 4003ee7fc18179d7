"""`POST /orchestrator/session/end`: request the end, wait for it, and answer with it."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, Response

from chassis.logs import bind_session, get_logger
from contracts.api import EndReply, EndRequest
from contracts.end_reasons import EndReason
from contracts.errors import (
    BUS_UNAVAILABLE,
    END_PENDING,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_STORE_FULL,
    INVALID_SESSION_ID,
    LOG_FULL,
    LOG_REFUSED,
    SESSION_UNREADABLE,
    UNKNOWN_SESSION,
    Refused,
)
from contracts.events import AgentStopped, EndRequested, Event, SessionEnded, SessionRequested
from gateway.domain.access import Scope
from gateway.domain.ending import end_reply, process_is_gone
from gateway.domain.idempotency import fingerprint
from gateway.ports import NatsUnavailable, ReadModelUnavailable, RecordUnreadable
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.keyed import REPLAYED_DOCUMENTED, IdempotencyKey, once
from gateway.routes.services import Services, Wired

log = get_logger(__name__)
router = APIRouter(tags=["sessions"])
SCOPE = Scope.SESSIONS

_PROBLEMS = problems(
    *WITH_BODY,
    INVALID_SESSION_ID,
    UNKNOWN_SESSION,
    SESSION_UNREADABLE,
    IDEMPOTENCY_MISMATCH,
    IDEMPOTENCY_STORE_FULL,
    BUS_UNAVAILABLE,
    LOG_FULL,
    LOG_REFUSED,
    END_PENDING,
) | {200: {"headers": REPLAYED_DOCUMENTED}}
_LAST_LOOK_S = 0.5
_READ_MODEL_WAIT_S = 0.3
_READ_MODEL_POLL_S = 0.02


@router.post("/api/session/end", responses=_PROBLEMS, operation_id="end_session_alias", summary="End a session")
@router.post("/orchestrator/session/end", responses=_PROBLEMS, operation_id="end_session")
async def end_session(body: EndRequest, services: Wired, response: Response, key: IdempotencyKey) -> EndReply:
    """End a session, or answer again how and when it ended. The durations are the bill's own.

    `celery_task_revoked`: the job was cancelled. `process_killed`: its worker process has exited. `redis_cleaned`: the
    read model shows the end. `errors` names what failed; the session has ended anyway.
    """
    return await once(
        key.of("end"), fingerprint(body), services.idempotency, response, EndReply, lambda: _end(body, services)
    )


async def _end(body: EndRequest, services: Services) -> EndReply:
    session_id = body.session_id
    with bind_session(session_id):
        if not await _exists(session_id, services):
            if services.log.may_lack_sessions:
                detail = f"NATS was away a moment ago, and its log does not have session {session_id}."
                raise Refused(END_PENDING, detail, retry_after_s=1)
            raise Refused(UNKNOWN_SESSION, f"Unknown session {session_id}.")
        heard: list[Event] = []
        ended = await _ended(session_id, services, heard)
        # If the node was silent, or the session ended long ago, search the whole log.
        gone = process_is_gone(ended, heard) or process_is_gone(ended, await services.log.history(session_id))
        errors = [] if gone else ["The node has not confirmed that the worker process has exited."]
        shown = await _read_model_shows_end(session_id, services, errors)
        log.info("session.end_answered", outcome=str(ended.outcome), errors=len(errors))
        return end_reply(ended, process_gone=gone, read_model_shows_it=shown, errors=errors)


async def _exists(session_id: str, services: Services) -> bool:
    try:
        if await services.log.last(SessionRequested, session_id) is not None:
            return True
    except RecordUnreadable:  # the scheduler can end it anyway
        return True
    # After the loss of the log a call may still run on a node; the scheduler adopts it.
    return any(job.session_id == session_id for node in await services.registry.nodes() for job in node.jobs)


async def _ended(session_id: str, services: Services, heard: list[Event]) -> SessionEnded:
    """The session's end; requested if it has not ended yet.

    Args:
        heard: Receives the events that arrive during the wait.
    """
    # Follow before reading the log, so that an end in between is not missed.
    async with services.log.follow(session_id, AgentStopped, SessionEnded, past=False) as events:
        ended = await services.log.last(SessionEnded, session_id)
        if ended is not None:
            return ended
        with suppress(TimeoutError):
            async with asyncio.timeout(services.end_wait_s):
                await services.log.publish(
                    EndRequested(session_id=session_id, time=services.now(), by="api", reason=EndReason.REQUESTED)
                )
                async for event in events:
                    heard.append(event)
                    if isinstance(event, SessionEnded):
                        return event
        with suppress(TimeoutError, NatsUnavailable):  # the tail may lag, for example after a restart of NATS
            async with asyncio.timeout(_LAST_LOOK_S):
                ended = await services.log.last(SessionEnded, session_id)
        if ended is not None:
            return ended
    raise Refused(END_PENDING, f"Session {session_id} has not ended within {services.end_wait_s:g} s.", retry_after_s=1)


async def _read_model_shows_end(session_id: str, services: Services, errors: list[str]) -> bool:
    try:
        async with asyncio.timeout(_READ_MODEL_WAIT_S):
            while True:
                state = await services.read_model.get(session_id)
                if state is not None and state.ended is not None:
                    return True
                await asyncio.sleep(_READ_MODEL_POLL_S)
    except TimeoutError:
        errors.append("The read model in Redis does not show the end yet.")
    except ReadModelUnavailable as error:
        errors.append(error.detail)
    return False
