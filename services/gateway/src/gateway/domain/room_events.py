"""LiveKit's webhooks as room events."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from contracts.ids import SESSION_ID_PATTERN
from contracts.room_events import RoomEvent

_ID = re.compile(r"[\x21-\x7e]+")  # it becomes a header of a NATS message
_OURS = re.compile(SESSION_ID_PATTERN)


class MalformedWebhook(Exception):
    """The body is not a webhook of LiveKit."""


def room_event(payload: Mapping[str, Any]) -> RoomEvent | None:
    """Parse a webhook; None when the room's name is not a session id.

    Only the named fields are copied; others, such as `turnPassword`, must not get into the log.

    Args:
        payload: The webhook in protobuf's JSON form: camelCase, 64-bit integers as strings.

    Raises:
        MalformedWebhook: Without an id, an event name or a valid time.
    """
    room = _part(payload, "room")
    name = room.get("name")
    if not isinstance(name, str) or not _OURS.fullmatch(name):
        return None
    participant = _part(payload, "participant")
    try:
        event = RoomEvent(
            id=payload.get("id", ""),
            event=payload.get("event", ""),
            session_id=name,
            time=datetime.fromtimestamp(int(payload.get("createdAt", 0)), UTC),
            room_sid=room.get("sid", ""),
            participant_identity=participant.get("identity"),
            participant_sid=participant.get("sid"),
            disconnect_reason=participant.get("disconnectReason"),
        )
        event.model_dump_json()  # a lone surrogate is valid in a Python string, but not in JSON
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise MalformedWebhook(f"the webhook of room {name} is invalid: {_first_line(error)}") from error
    if not _ID.fullmatch(event.id):
        raise MalformedWebhook(f"the webhook of room {name} has an id that is not plain ASCII text")
    return event


def _part(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
