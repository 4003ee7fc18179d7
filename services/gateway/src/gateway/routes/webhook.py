"""`POST /livekit/webhook`: LiveKit's events into the stream ROOMS."""

import json
from typing import Any, Final, cast

from fastapi import APIRouter, Request, Response

from chassis.logs import get_logger
from contracts.errors import BAD_SIGNATURE, BUS_UNAVAILABLE, LOG_FULL, MALFORMED_BODY, Refused
from gateway.domain.room_events import MalformedWebhook, room_event
from gateway.ports import BadSignature
from gateway.routes.documented import WITH_BODY, problems
from gateway.routes.services import LogPort, SignaturePort

log = get_logger(__name__)
router = APIRouter(tags=["livekit"])
SCOPE = None  # LiveKit signs its requests instead
# Metadata and attributes of a room and a participant have at most 64 KB each. The signature covers the whole body, so
# it is read before the check.
MAX_BYTES: Final = 256 * 1024

_CONTENT_TYPE = "application/webhook+json"
_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {_CONTENT_TYPE: {"schema": {"type": "object"}}}},
}


@router.post(
    "/livekit/webhook",
    status_code=200,
    response_class=Response,
    responses=problems(*WITH_BODY, BAD_SIGNATURE, BUS_UNAVAILABLE, LOG_FULL),
    openapi_extra=_BODY,
    operation_id="livekit_webhook",
)
async def livekit_webhook(request: Request, signature: SignaturePort, sessions: LogPort) -> Response:
    """Receive a webhook of LiveKit, which sends it again after a 503, but never after a 4xx."""
    body = await request.body()
    try:
        signature.verify(body, request.headers.get("authorization"))
    except BadSignature as bad:
        raise Refused(BAD_SIGNATURE, f"Invalid webhook signature: {bad}.") from bad
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _CONTENT_TYPE:
        detail = f"Its Content-Type is not {_CONTENT_TYPE}."
        raise Refused(MALFORMED_BODY, detail, fix=f"Send the webhook with the header Content-Type: {_CONTENT_TYPE}.")
    try:
        event = room_event(_object(body))
    except MalformedWebhook as malformed:
        fix = "Send the webhook's body as LiveKit writes it."
        raise Refused(MALFORMED_BODY, f"Invalid webhook: {malformed}.", fix=fix) from malformed
    if event is None:
        return Response(status_code=200)  # a room of another application
    await sessions.publish_room_event(event)
    log.info("room.event", session_id=event.session_id, room_event=event.event, participant=event.participant_identity)
    return Response(status_code=200)


def _object(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:  # the latter: nested too deep
        raise MalformedWebhook("the body is not valid JSON") from error
    if not isinstance(payload, dict):
        raise MalformedWebhook("the body is not a JSON object")
    return cast(dict[str, Any], payload)
