"""LiveKit's webhooks as events of ours."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, cast

from contracts.events import RoomEvent
from contracts.ids import SESSION_ID_PATTERN

_ID = re.compile(r"[\x21-\x7e]+")  # it becomes a header of the message
_OURS = re.compile(SESSION_ID_PATTERN)


class MalformedWebhook(Exception):
    """The body is no webhook of LiveKit."""


def room_event(payload: Mapping[str, Any]) -> RoomEvent | None:
    """Read a webhook; None when its room is not one of ours.

    Only the named fields are taken over. What else a webhook carries, `turnPassword` above all, goes no further.

    Args:
        payload: The webhook in protobuf's JSON form: camelCase, 64-bit integers as strings.

    Raises:
        MalformedWebhook: It has no id, no event name or no readable time.
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
        event.model_dump_json()  # half of a surrogate pair is text for Python, and nothing that JSON can carry
    except (ValueError, TypeError, OverflowError, OSError) as error:
        raise MalformedWebhook(f"the webhook of room {name} cannot be read: {_first_line(error)}") from error
    if not _ID.fullmatch(event.id):
        raise MalformedWebhook(f"the webhook of room {name} has an id that is not plain ASCII text")
    return event


def _part(payload: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = payload.get(key)
    return cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
