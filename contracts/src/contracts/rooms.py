"""What a LiveKit room says about itself in its metadata: whose it is, and which call made it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEPLOYMENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


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
