"""The settings of the caller's client: among the agent's parameters."""

from pydantic import Field
from pydantic_settings import BaseSettings


class FrontEndSettings(BaseSettings):
    """Captions and typed text."""

    captions: bool = Field(
        default=True,
        description="true sends what is said as text to the participants of the room, while it is heard",
    )
    typed_text_max_chars: int = Field(
        default=1000, ge=0, le=4000, description="characters of a text that the caller types as a turn; 0: takes none"
    )
