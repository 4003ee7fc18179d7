"""The events of the stream ROOMS: LiveKit's webhooks about a session's room."""

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts import subjects
from contracts.ids import SessionId


class RoomEvent(BaseModel):
    """A LiveKit webhook in the stream ROOMS; the id is the webhook's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str = Field(min_length=1, max_length=200)
    event: str = Field(pattern=r"^[a-z_]{1,64}$", description="LiveKit's name: room_finished, participant_left, ...")
    session_id: SessionId
    time: AwareDatetime
    room_sid: str = ""
    participant_identity: str | None = None
    participant_sid: str | None = None
    disconnect_reason: str | None = None

    @property
    def subject(self) -> str:
        return subjects.room_event(self.event, self.session_id)
