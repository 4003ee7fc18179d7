"""What a LiveKit room says about itself in its metadata: whose it is, and which call made it."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DEPLOYMENT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class RoomMark(BaseModel):
    """The metadata of our rooms; several deployments may share one LiveKit.

    Attributes:
        deployment: Whose room it is.
        greenroom: The call that made it, and no other: CreateRoom answers the same for a room that existed.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    deployment: str | None = Field(default=None, pattern=DEPLOYMENT_PATTERN)
    greenroom: str = ""


def room_metadata(deployment: str, made_by: str = "") -> str:
    """The metadata for a new room."""
    return RoomMark(deployment=deployment, greenroom=made_by).model_dump_json()


def deployment_in(metadata: str) -> str | None:
    """Whose room this is; None: it does not say, as those of earlier versions and of other programs."""
    try:
        return RoomMark.model_validate_json(metadata).deployment
    except ValidationError:
        return None


def deployment_of_log(created: datetime) -> str:
    """The name of a deployment that has none: two have two logs, and one keeps its log."""
    return created.strftime("%Y%m%dT%H%M%S.%fZ")
