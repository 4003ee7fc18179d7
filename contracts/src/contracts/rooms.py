"""A session's LiveKit room: its settings, and its metadata (the deployment that owns it, the call that created it)."""

from datetime import datetime
from math import ceil
from typing import Final, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEPLOYMENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


MAX_PARTICIPANTS: Final = 100
"""Limit of a session's room. The caller takes one place (LiveKit does not count agents); the others are for listeners
that the operator admits. With a limit of 1, a listener who joins first would lock the caller out."""

DEPARTURE_TIMEOUT_S: Final = 2 * 3600
"""LiveKit closes a room this long after its last participant left, agents not counted. RECONNECT_GRACE_S is an hour at
most; the scheduler deletes the room of an ended session long before."""

_EMPTY_MARGIN_S: Final = 25 * 3600  # PREJOIN_MAX_AGE_S is a day at most


class RoomShape(TypedDict):
    """The settings of a room, named as in LiveKit's `CreateRoomRequest`; the timeouts are in seconds."""

    max_participants: int
    empty_timeout: int
    departure_timeout: int


def room_shape(queue_deadline_s: float) -> RoomShape:
    """The settings of every session's room. The gateway replaces a room that has others.

    Args:
        queue_deadline_s: QUEUE_DEADLINE_S. LiveKit closes a room to which no caller came 25 hours after this deadline,
            whether or not an agent is inside.
    """
    return RoomShape(
        max_participants=MAX_PARTICIPANTS,
        empty_timeout=ceil(queue_deadline_s) + _EMPTY_MARGIN_S,
        departure_timeout=DEPARTURE_TIMEOUT_S,
    )


class RoomMark(BaseModel):
    """A room's metadata; several deployments may share one LiveKit server.

    Attributes:
        deployment: The deployment that owns the room.
        greenroom: Random mark of the CreateRoom call that created the room. LiveKit gives the same answer for a room
            that already existed, so the mark tells the two cases apart.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    deployment: str | None = Field(default=None, pattern=DEPLOYMENT_PATTERN)
    greenroom: str = ""


def room_metadata(deployment: str, made_by: str = "") -> str:
    """The metadata of a new room, as JSON."""
    return RoomMark(deployment=deployment, greenroom=made_by).model_dump_json()


def deployment_in(metadata: str) -> str | None:
    """The deployment that owns the room; None for rooms of older versions and of other programs."""
    try:
        return RoomMark.model_validate_json(metadata).deployment
    except ValidationError:
        return None


def deployment_of_log(created: datetime) -> str:
    """The default name of a deployment: the creation time of its log, which is unique and never changes."""
    return created.strftime("%Y%m%dT%H%M%S.%fZ")
